#include "data/stream.hpp"

#include "engine/random.hpp"

#include <algorithm>

namespace rmoe {
namespace {

int64_t stream_length(std::span<const int32_t> tokens, int64_t B, int64_t T) {
  RMOE_CHECK(B > 0 && T > 0, "data: a batch of ", B, " streams of ", T, " tokens is empty");
  const int64_t n = int64_t(tokens.size()), needed = B * (T + 1);
  RMOE_CHECK(n >= needed, "data: ", B, " streams with a block of ", T, " tokens and one to predict need ",
             needed, " tokens, the text has ", n, ": use fewer streams, shorter blocks or more text");
  return n / B;
}

Batch cut(std::span<const int32_t> tokens, int64_t B, int64_t T, int64_t S, int64_t position, bool restart) {
  Batch batch{empty({B, T}, DType::i32), empty({B, T}, DType::i32), restart};
  for (int64_t b = 0; b < B; ++b) {
    const int32_t* source = tokens.data() + b * S + position;
    std::copy_n(source, T, batch.inputs.data<int32_t>() + b * T);
    std::copy_n(source + 1, T, batch.targets.data<int32_t>() + b * T);
  }
  return batch;
}

}  // namespace

BatchStream::BatchStream(std::span<const int32_t> tokens, int64_t B, int64_t T, uint64_t seed)
    : tokens_(tokens), B_(B), T_(T), S_(stream_length(tokens, B, T)), seed_(seed) {}

/// Streams shorter than two blocks draw from fewer offsets, so that one block always fits.
int64_t BatchStream::start_of(int64_t epoch) const {
  if (epoch == 0) return 0;
  const uint64_t offsets = std::min(T_, S_ - T_);
  const uint64_t bits = philox(seed_, hash("data.restart"), epoch)[0];
  return int64_t(bits * offsets >> 32);
}

Batch BatchStream::next() {
  if (cursor_.position + T_ >= S_) {
    ++cursor_.epoch;
    cursor_.position = start_of(cursor_.epoch);
  }
  const int64_t position = cursor_.position;
  cursor_.position += T_;
  return cut(tokens_, B_, T_, S_, position, position == start_of(cursor_.epoch));
}

void BatchStream::seek(StreamCursor cursor) {
  RMOE_CHECK(cursor.epoch >= 0 && cursor.position >= 0 && cursor.position < S_, "data: cursor at ",
             cursor.position, " of epoch ", cursor.epoch, " is not in streams of ", S_, " tokens");
  cursor_ = cursor;
}

EvalBlocks::EvalBlocks(std::span<const int32_t> tokens, int64_t T, int64_t B, int64_t limit)
    : tokens_(tokens), B_(B), T_(T), S_(stream_length(tokens, B, T)), count_((S_ - 1) / T) {
  if (limit > 0) count_ = std::min(count_, limit);
}

EvalBlocks EvalBlocks::exact(std::span<const int32_t> tokens, int64_t T) {
  const int64_t n = int64_t(tokens.size());
  RMOE_CHECK(n >= 2 && T > 0, "data: blocks of ", T, " of a text of ", n,
             " tokens: wanted at least one token and one to predict");
  return {tokens, T, 1, n, (n - 1 + T - 1) / T};
}

Batch EvalBlocks::block(int64_t i) const {
  RMOE_CHECK(i >= 0 && i < count_, "data: no block ", i, " of ", count_);
  return cut(tokens_, B_, std::min(T_, S_ - 1 - i * T_), S_, i * T_, i == 0);
}

}  // namespace rmoe
