// What training and evaluation read: batches without end for the one, one pass in order for the other.
#pragma once

#include "data/tokens.hpp"
#include "engine/tensor.hpp"

#include <nlohmann/json_fwd.hpp>

namespace rmoe {

struct Batch {
  Tensor inputs;   // i32 [B,T]
  Tensor targets;  // i32 [B,T], the token after each input
  bool restart;    // nothing before this batch continues in it: memory must be zeroed
};

// For those who write a stream:
Batch empty_batch(int64_t B, int64_t T, bool restart);
/// Row `row` of the batch becomes tokens [begin, begin + T) and the token after each.
void read_row(const Tokens& tokens, int64_t begin, int64_t row, const Batch& batch);
/// Rows [first, first + count) of a batch without their padding: behind the last column in which a target
/// counts (is not -1) a model has nothing to learn. Widths are multiples of 16, so that not every batch asks
/// for memory of a size of its own.
Batch part_of(const Batch& batch, int64_t first, int64_t count);
/// A member of a cursor that is a whole number and not negative, or else an error.
int64_t cursor_number(const nlohmann::json& cursor, const char* name);

/// Training batches without end. Where a stream stands is a few numbers: a checkpoint keeps them.
class Stream {
 public:
  virtual ~Stream() = default;
  virtual Batch next() = 0;
  /// What next() will go on from: a JSON object.
  virtual nlohmann::json cursor() const = 0;
  /// Continues exactly as the stream did whose cursor this was. A cursor of another kind or of other data is
  /// an error.
  virtual void seek(const nlohmann::json& cursor) = 0;
};

/// Batches cut from parallel streams: n tokens become B contiguous streams of S = n / B tokens, and block
/// after block of T tokens is read along all of them, so that a model may carry memory from one batch to the
/// next. When no whole block is left, reading starts again at an offset below T, drawn from (seed, epoch).
class BatchStream : public Stream {
 public:
  BatchStream(Tokens tokens, int64_t B, int64_t T, uint64_t seed);
  Batch next() override;
  /// {"position": of the next block along every stream, "epoch"}.
  nlohmann::json cursor() const override;
  void seek(const nlohmann::json& cursor) override;

 private:
  int64_t start_of(int64_t epoch) const;

  Tokens tokens_;
  int64_t B_, T_, S_;
  uint64_t seed_;
  int64_t position_ = 0, epoch_ = 0;
};

/// One pass for evaluation, in order. Only block 0 has restart set.
class EvalBlocks {
 public:
  /// The whole blocks of B streams, the tail dropped; at most `limit` of them if that is not 0.
  explicit EvalBlocks(Tokens tokens, int64_t T, int64_t B = 8, int64_t limit = 0);
  /// One stream in which every token but the first is a target once: the last block may be shorter.
  static EvalBlocks exact(Tokens tokens, int64_t T);
  int64_t count() const { return count_; }
  int64_t streams() const { return B_; }
  Batch block(int64_t i) const;

 private:
  EvalBlocks(Tokens tokens, int64_t T, int64_t B, int64_t S, int64_t count)
      : tokens_(std::move(tokens)), B_(B), T_(T), S_(S), count_(count) {}

  Tokens tokens_;
  int64_t B_, T_, S_, count_;
};

}  // namespace rmoe
