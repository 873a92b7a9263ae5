// Batches cut from parallel streams: n tokens become B contiguous streams of S = n / B tokens, and block
// after block of T tokens is read along all of them, so that a model may carry memory from one batch to the
// next.
#pragma once

#include "engine/tensor.hpp"

#include <cstdint>
#include <span>

namespace rmoe {

struct Batch {
  Tensor inputs;   // i32 [B,T]
  Tensor targets;  // i32 [B,T], the token after each input
  bool restart;    // nothing before this batch continues in it: memory must be zeroed
};

/// Where a BatchStream stands; saved with a checkpoint, restored by seek().
struct StreamCursor {
  int64_t position = 0;  // of the next block along every stream
  int64_t epoch = 0;
  bool operator==(const StreamCursor&) const = default;
};

/// Training batches without end. When no whole block is left, reading starts again at an offset below T,
/// drawn from (seed, epoch). The tokens must outlive the stream.
class BatchStream {
 public:
  BatchStream(std::span<const int32_t> tokens, int64_t B, int64_t T, uint64_t seed);
  Batch next();
  StreamCursor cursor() const { return cursor_; }
  /// Continues exactly as the stream did whose cursor this was.
  void seek(StreamCursor cursor);

 private:
  int64_t start_of(int64_t epoch) const;

  std::span<const int32_t> tokens_;
  int64_t B_, T_, S_;
  uint64_t seed_;
  StreamCursor cursor_;
};

/// One pass for evaluation, in order. Only block 0 has restart set.
class EvalBlocks {
 public:
  /// The whole blocks of B streams, the tail dropped; at most `limit` of them if that is not 0.
  explicit EvalBlocks(std::span<const int32_t> tokens, int64_t T, int64_t B = 8, int64_t limit = 0);
  /// One stream in which every token but the first is a target once: the last block may be shorter.
  static EvalBlocks exact(std::span<const int32_t> tokens, int64_t T);
  int64_t count() const { return count_; }
  int64_t streams() const { return B_; }
  Batch block(int64_t i) const;

 private:
  EvalBlocks(std::span<const int32_t> tokens, int64_t T, int64_t B, int64_t S, int64_t count)
      : tokens_(tokens), B_(B), T_(T), S_(S), count_(count) {}

  std::span<const int32_t> tokens_;
  int64_t B_, T_, S_, count_;
};

}  // namespace rmoe
