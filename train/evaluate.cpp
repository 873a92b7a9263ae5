#include "train/evaluate.hpp"

#include "data/stream.hpp"

#include <cmath>
#include <numbers>

namespace rmoe {

double Evaluation::bpc() const { return loss / std::numbers::ln2; }
double Evaluation::ppl() const { return std::exp(loss); }

Evaluation evaluate(const Model& model, const std::vector<int32_t>& tokens, int64_t streams, int64_t T,
                    int64_t blocks, const std::function<bool(int64_t, int64_t)>& tick) {
  const NoGrad guard;
  const EvalBlocks pass(tokens, T, streams, std::max<int64_t>(blocks, 0));
  Memory memory = model.initial_memory(streams);
  Evaluation result;
  double sum = 0;
  int64_t done = 0;
  while (done < pass.count()) {
    const Batch batch = pass.block(done);
    ModelOutput output = model(batch.inputs, memory, {});
    sum += losses(output, batch.targets, 0).loss.value().item();
    memory = std::move(output.memory);
    result.tokens += batch.targets.numel();
    ++done;
    if (tick && !tick(done, pass.count())) break;
  }
  result.loss = sum / double(done);
  return result;
}

}  // namespace rmoe
