#include "train/evaluate.hpp"

#include "data/stream.hpp"
#include "ops/cross_entropy/cross_entropy.hpp"

#include <cmath>
#include <fmt/core.h>
#include <numbers>

namespace rmoe {

namespace {

Evaluation run(const Model& model, const EvalBlocks& pass, const Tick& tick) {
  const NoGrad guard;
  Memory memory = model.initial_memory(pass.streams());
  Evaluation result;
  double sum = 0;  // over tokens
  for (int64_t i = 0; i < pass.count(); ++i) {
    const Batch batch = pass.block(i);
    ModelOutput output = model(batch.inputs, memory, {});
    const int64_t counted = count_targets(batch.targets);
    sum += token_loss(output, batch.targets).value().item() * double(counted);
    memory = std::move(output.memory);
    result.tokens += counted;
    if (tick && !tick(i + 1, pass.count())) break;
  }
  result.loss = sum / double(result.tokens);
  return result;
}

}  // namespace

double Evaluation::bpc() const { return loss / std::numbers::ln2; }
double Evaluation::ppl() const { return std::exp(loss); }
std::string Evaluation::text(bool byte_level) const {
  return byte_level ? fmt::format("BPC {:.4f}", bpc()) : fmt::format("PPL {:.3f}", ppl());
}

Evaluation evaluate(const Model& model, const Tokens& tokens, int64_t streams, int64_t T, int64_t blocks,
                    const Tick& tick) {
  return run(model, EvalBlocks(tokens, T, streams, std::max<int64_t>(blocks, 0)), tick);
}

Evaluation evaluate_exact(const Model& model, const Tokens& tokens, int64_t T, const Tick& tick) {
  return run(model, EvalBlocks::exact(tokens, T), tick);
}

}  // namespace rmoe
