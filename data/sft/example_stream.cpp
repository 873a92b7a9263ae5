#include "data/sft/example_stream.hpp"

#include "data/shards/permutation.hpp"
#include "engine/error.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace rmoe {

Batch batch_of(std::span<const Example* const> examples, int64_t T, int32_t filler) {
  const auto B = int64_t(examples.size());
  Batch batch = empty_batch(B, T, /*restart=*/true);
  for (int64_t b = 0; b < B; ++b) {
    const auto& [tokens, prompt] = *examples[size_t(b)];
    const auto n = int64_t(tokens.size());
    RMOE_CHECK(n <= T, "sft: an example of ", n, " tokens does not fit blocks of ", T);
    int32_t *inputs = batch.inputs.data<int32_t>() + b * T, *targets = batch.targets.data<int32_t>() + b * T;
    std::fill(std::copy_n(tokens.begin(), n, inputs), inputs + T, filler);
    std::fill_n(targets, T, -1);
    const int64_t first = std::max<int64_t>(prompt, 1);  // nothing comes before token 0
    if (first < n) std::copy(tokens.begin() + first, tokens.end(), targets + first - 1);
  }
  return batch;
}

ExampleStream::ExampleStream(std::span<const Example> examples, int64_t B, int64_t T, uint64_t seed,
                             int32_t filler)
    : examples_(examples), B_(B), T_(T), seed_(seed), filler_(filler) {
  RMOE_CHECK(!examples.empty(), "sft: there are no examples to train on");
}

const Example& ExampleStream::example(int64_t position) const {
  const auto N = int64_t(examples_.size());
  const Permutation order(N, mix(seed_, mix(hash("sft.epoch"), uint64_t(position / N))));
  return examples_[size_t(order(position % N))];
}

Batch ExampleStream::next() {
  std::vector<const Example*> rows;
  for (int64_t b = 0; b < B_; ++b) rows.push_back(&example(taken_ + b));
  taken_ += B_;
  std::ranges::stable_sort(rows, {}, [](const Example* e) { return e->tokens.size(); });
  return batch_of(rows, T_, filler_);
}

nlohmann::json ExampleStream::cursor() const { return {{"examples", taken_}}; }

void ExampleStream::seek(const nlohmann::json& cursor) { taken_ = cursor_number(cursor, "examples"); }

}  // namespace rmoe
