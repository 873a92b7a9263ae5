#include "engine/comm/gradient_buckets.hpp"

#include "engine/error.hpp"

namespace rmoe {
namespace {

/// Elements [begin, end) of a tensor, whatever its shape.
Tensor flat_part(const Tensor& x, int64_t begin, int64_t end) {
  return x.reshape({x.numel()}).rows(begin, end - begin);
}

}  // namespace

GradientBuckets::GradientBuckets(Communicator& communicator, std::vector<int64_t> numels,
                                 std::optional<ShardedRange> sharded, int64_t bucket_bytes)
    : communicator_(communicator),
      sharded_(std::move(sharded)),
      bucket_of_(numels.size()),
      grads_(numels.size()) {
  int64_t bytes = bucket_bytes;  // of the bucket being filled
  for (int64_t i = int64_t(numels.size()) - 1; i >= 0; --i) {
    if (bytes >= bucket_bytes) {
      buckets_.push_back({i, i + 1, 0});
      bytes = 0;
    }
    bytes += numels[size_t(i)] * size_of(DType::f32);
    buckets_.back().first = i;
    bucket_of_[size_t(i)] = buckets_.size() - 1;
  }
  reset();
}

void GradientBuckets::reset() {
  next_ = 0;
  for (Bucket& bucket : buckets_) bucket.missing = bucket.last - bucket.first;
  for (Tensor& grad : grads_) grad = Tensor();
}

void GradientBuckets::ready(int64_t i, const Tensor& grad) {
  Tensor& place = grads_[size_t(i)];
  RMOE_CHECK(!place, "gradient_buckets: gradient ", i, " is ready twice");
  RMOE_CHECK(grad.dtype() == DType::f32, "gradient_buckets: gradient ", i, " is ", grad.dtype(), ", not f32");
  place = grad;
  --buckets_[bucket_of_[size_t(i)]].missing;
  for (; next_ < buckets_.size() && buckets_[next_].missing == 0; ++next_) reduce(buckets_[next_]);
}

void GradientBuckets::reduce(const Bucket& bucket) {
  communicator_.begin();
  communicator_.group([&] {
    for (int64_t i = bucket.last - 1; i >= bucket.first; --i)
      sharded_ ? reduce_to_owners(i) : communicator_.all_reduce(grads_[size_t(i)]);
  });
}

void GradientBuckets::reduce_to_owners(int64_t i) {
  for (const ShardedRange::Part& part : sharded_->parts_of(i))
    communicator_.reduce(flat_part(grads_[size_t(i)], part.begin, part.end), part.rank);
}

void GradientBuckets::finish() {
  for (size_t i = 0; i < grads_.size(); ++i)
    RMOE_CHECK(grads_[i], "gradient_buckets: gradient ", i, " of ", grads_.size(), " never was ready");
  communicator_.finish();
  reset();
}

void gather_parameters(Communicator& communicator, const ShardedRange& sharded,
                       const std::vector<Tensor>& parameters) {
  communicator.group([&] {
    for (size_t i = 0; i < parameters.size(); ++i)
      gather_parameter(communicator, sharded, int64_t(i), parameters[i]);
  });
}

void gather_parameter(Communicator& communicator, const ShardedRange& sharded, int64_t i,
                      const Tensor& parameter) {
  for (const ShardedRange::Part& part : sharded.parts_of(i))
    communicator.broadcast(flat_part(parameter, part.begin, part.end), part.rank);
}

}  // namespace rmoe
