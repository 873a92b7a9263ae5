// Sums gradients over all ranks while backward is still computing others. Gradients become complete from the
// last parameter to the first; neighbours form a bucket of some 25 MB, and when the last one of a bucket is
// there it is reduced beside the stream. Nothing is copied: a bucket is one group of collectives on the
// gradients where they lie. Buckets start in the same order on every rank.
//
//   GradientBuckets buckets(comm, numels);       // elements of every parameter, in the order of creation
//   for (...) buckets.ready(i, grad);            // during the backward pass of the last micro-batch
//   buckets.finish();                            // what is enqueued from here on sees the sums
#pragma once

#include "engine/comm/communicator.hpp"
#include "engine/comm/sharded_range.hpp"

#include <optional>

namespace rmoe {

class GradientBuckets {
 public:
  static constexpr int64_t kBytes = int64_t{25} << 20;

  /// With `sharded` only the owner of a range gets its sum: half of the bytes of an all-reduce.
  GradientBuckets(Communicator& communicator, std::vector<int64_t> numels,
                  std::optional<ShardedRange> sharded = {}, int64_t bucket_bytes = kBytes);

  /// The gradient of parameter i will not change any more. fp32; any order, each once.
  void ready(int64_t i, const Tensor& grad);
  /// All of them must have been ready.
  void finish();

  int64_t count() const { return int64_t(buckets_.size()); }

 private:
  struct Bucket {
    int64_t first, last;  // parameters [first, last)
    int64_t missing;
  };
  void reduce(const Bucket& bucket);
  void reduce_to_owners(int64_t i);
  void reset();

  Communicator& communicator_;
  std::optional<ShardedRange> sharded_;
  std::vector<Bucket> buckets_;    // in the order of reduction
  std::vector<size_t> bucket_of_;  // of every parameter
  std::vector<Tensor> grads_;      // that are ready, until finish()
  size_t next_ = 0;                // bucket to be reduced
};

/// Every owner's range of the parameters comes to all ranks, in place: what follows a sharded update. And
/// that of parameter i alone.
void gather_parameters(Communicator& communicator, const ShardedRange& sharded,
                       const std::vector<Tensor>& parameters);
void gather_parameter(Communicator& communicator, const ShardedRange& sharded, int64_t i,
                      const Tensor& parameter);

}  // namespace rmoe
