#include "train/sft/examples.hpp"

#include "data/sft/example_stream.hpp"
#include "data/sha256.hpp"
#include "ops/cross_entropy/cross_entropy.hpp"

#include <algorithm>
#include <cmath>

namespace rmoe {
namespace {

/// What stands behind an example in its row. Nobody reads it: its targets do not count, and no token sees
/// those behind it.
int32_t filler_of(const Tokenizer& tokenizer) {
  return tokenizer.pad() ? *tokenizer.pad() : tokenizer.eos().value_or(0);
}

std::string fingerprint_of(const Examples& examples) {
  Sha256 sum;
  for (const auto* part : {&examples.train, &examples.valid})
    for (const Example& example : *part) {
      const int64_t sizes[] = {int64_t(example.tokens.size()), example.prompt};
      sum.update(sizes, sizeof sizes);
      sum.update(example.tokens.data(), example.tokens.size() * sizeof(int32_t));
    }
  const std::string tokenizer = examples.tokenizer->file_bytes();
  sum.update(tokenizer.data(), tokenizer.size());
  return sum.hex();
}

}  // namespace

Examples load_examples(const Config& config, TokenizerPtr tokenizer) {
  if (config.sft.data.empty())
    throw UsageError("sft.data is not set: name a file in Alpaca's format (--data FILE)");
  Examples examples{std::move(tokenizer), {}, {}, {}};
  for (const Instruction& instruction : load_instructions(config.sft.data))
    examples.train.push_back(encode(instruction, *examples.tokenizer, config.train.block));
  const auto all = int64_t(examples.train.size());
  RMOE_CHECK(config.sft.valid < all, "sft: ", config.sft.data, " has ", all,
             " examples, and sft.valid keeps ", config.sft.valid, " of them from training");
  const auto cut = examples.train.end() - config.sft.valid;
  examples.valid.assign(cut, examples.train.end());
  examples.train.erase(cut, examples.train.end());
  const bool any = std::ranges::any_of(examples.train, [](const Example& e) { return e.learned() > 0; });
  RMOE_CHECK(any, "sft: every prompt in ", config.sft.data, " fills all ", config.train.block,
             " tokens of a block: raise train.block");
  examples.fingerprint = fingerprint_of(examples);
  return examples;
}

void fit_epochs(Config& config, const Examples& examples) {
  const double wanted = config.sft.epochs * double(examples.train.size());
  if (wanted > 0) config.train.steps = int64_t(std::ceil(wanted / double(config.train.batch)));
}

Evaluation evaluate(const Model& model, std::span<const Example> examples, const TrainConfig& train,
                    const Tick& tick) {
  const NoGrad guard;
  std::vector<const Example*> rows;
  for (const Example& example : examples) rows.push_back(&example);
  std::ranges::stable_sort(rows, {}, [](const Example* e) { return e->tokens.size(); });
  const auto all = int64_t(rows.size());
  double sum = 0;
  Evaluation result;
  for (int64_t first = 0, count; first < all; first += count) {
    count = std::min(all - first, train.largest_part());
    const Batch whole = batch_of(std::span(rows).subspan(size_t(first), size_t(count)), train.block, 0);
    const Batch batch = part_of(whole, 0, count);
    const int64_t counted = count_targets(batch.targets);
    if (counted > 0)
      sum += double(counted) *
             token_loss(model(batch.inputs, model.initial_memory(count), {}), batch.targets).value().item();
    result.tokens += counted;
    if (tick && !tick(first + count, all)) break;
  }
  if (result.tokens > 0) result.loss = sum / double(result.tokens);
  return result;
}

TrainingData training_data(const Examples& examples, const Config& config) {
  const TrainConfig& train = config.train;
  TrainingData data{
      .tokenizer = examples.tokenizer,
      .name = config.sft.data,
      .fingerprint = examples.fingerprint,
      .batches = std::make_unique<ExampleStream>(examples.train, train.batch, train.block,
                                                 uint64_t(train.seed), filler_of(*examples.tokenizer))};
  if (!examples.valid.empty())
    data.validate = [&examples, train](const Model& model, const Tick& tick) {
      return evaluate(model, examples.valid, train, tick);
    };
  return data;
}

}  // namespace rmoe
