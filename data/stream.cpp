#include "data/stream.hpp"

#include "engine/random.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace rmoe {
namespace {

int64_t stream_length(const Tokens& tokens, int64_t B, int64_t T) {
  RMOE_CHECK(B > 0 && T > 0, "data: a batch of ", B, " streams of ", T, " tokens is empty");
  const int64_t n = tokens.size(), needed = B * (T + 1);
  RMOE_CHECK(n >= needed, "data: ", B, " streams with a block of ", T, " tokens and one to predict need ",
             needed, " tokens, the text has ", n, ": use fewer streams, shorter blocks or more text");
  return n / B;
}

Batch cut(const Tokens& tokens, int64_t B, int64_t T, int64_t S, int64_t position, bool restart) {
  Batch batch = empty_batch(B, T, restart);
  for (int64_t b = 0; b < B; ++b) read_row(tokens, b * S + position, b, batch);
  return batch;
}

}  // namespace

Batch empty_batch(int64_t B, int64_t T, bool restart) {
  return {empty({B, T}, DType::i32), empty({B, T}, DType::i32), restart};
}

void read_row(const Tokens& tokens, int64_t begin, int64_t row, const Batch& batch) {
  const auto T = size_t(batch.inputs.dim(1));
  const std::span inputs(batch.inputs.data<int32_t>() + size_t(row) * T, T);
  const std::span targets(batch.targets.data<int32_t>() + size_t(row) * T, T);
  tokens.copy(begin, inputs);
  std::ranges::copy(inputs.subspan(1), targets.begin());
  tokens.copy(begin + int64_t(T), targets.last(1));
}

BatchStream::BatchStream(Tokens tokens, int64_t B, int64_t T, uint64_t seed)
    : tokens_(std::move(tokens)), B_(B), T_(T), S_(stream_length(tokens_, B, T)), seed_(seed) {}

Batch part_of(const Batch& batch, int64_t first, int64_t count) {
  constexpr int64_t kWidth = 16;
  const Batch part{batch.inputs.rows(first, count), batch.targets.rows(first, count), batch.restart};
  const int64_t T = batch.targets.dim(1);
  const std::span<const int32_t> targets = part.targets.span<int32_t>();
  int64_t used = 1;
  for (int64_t row = 0; row < count; ++row)
    for (int64_t t = T; t > used; --t)
      if (targets[size_t(row * T + t - 1)] >= 0) used = t;
  used = std::min(T, (used + kWidth - 1) / kWidth * kWidth);
  if (used == T) return part;
  Batch narrow = empty_batch(count, used, batch.restart);
  for (int64_t row = 0; row < count; ++row) {
    copy(narrow.inputs.rows(row, 1).reshape({used}), part.inputs.rows(row, 1).reshape({T}).rows(0, used));
    copy(narrow.targets.rows(row, 1).reshape({used}), part.targets.rows(row, 1).reshape({T}).rows(0, used));
  }
  return narrow;
}

int64_t cursor_number(const nlohmann::json& cursor, const char* name) {
  const bool there = cursor.is_object() && cursor.contains(name) && cursor[name].is_number_integer();
  RMOE_CHECK(there && cursor[name] >= 0, "data: a cursor ", cursor.dump(), " without a count \"", name,
             "\": it was saved by another kind of stream");
  return cursor[name].get<int64_t>();
}

/// Streams shorter than two blocks draw from fewer offsets, so that one block always fits.
int64_t BatchStream::start_of(int64_t epoch) const {
  if (epoch == 0) return 0;
  const uint64_t offsets = std::min(T_, S_ - T_);
  const uint64_t bits = philox(seed_, hash("data.restart"), epoch)[0];
  return int64_t(bits * offsets >> 32);
}

Batch BatchStream::next() {
  if (position_ + T_ >= S_) position_ = start_of(++epoch_);
  const bool restart = position_ == start_of(epoch_);
  Batch batch = cut(tokens_, B_, T_, S_, position_, restart);
  position_ += T_;
  return batch;
}

nlohmann::json BatchStream::cursor() const { return {{"position", position_}, {"epoch", epoch_}}; }

void BatchStream::seek(const nlohmann::json& cursor) {
  const auto position = cursor_number(cursor, "position"), epoch = cursor_number(cursor, "epoch");
  RMOE_CHECK(position < S_, "data: cursor at ", position, " of epoch ", epoch, " is not in streams of ", S_,
             " tokens");
  position_ = position;
  epoch_ = epoch;
}

EvalBlocks::EvalBlocks(Tokens tokens, int64_t T, int64_t B, int64_t limit)
    : tokens_(std::move(tokens)), B_(B), T_(T), S_(stream_length(tokens_, B, T)), count_((S_ - 1) / T) {
  if (limit > 0) count_ = std::min(count_, limit);
}

EvalBlocks EvalBlocks::exact(Tokens tokens, int64_t T) {
  const int64_t n = tokens.size();
  RMOE_CHECK(n >= 2 && T > 0, "data: blocks of ", T, " of a text of ", n,
             " tokens: wanted at least one token and one to predict");
  return {std::move(tokens), T, 1, n, (n - 1 + T - 1) / T};
}

Batch EvalBlocks::block(int64_t i) const {
  RMOE_CHECK(i >= 0 && i < count_, "data: no block ", i, " of ", count_);
  return cut(tokens_, B_, std::min(T_, S_ - 1 - i * T_), S_, i * T_, i == 0);
}

}  // namespace rmoe
