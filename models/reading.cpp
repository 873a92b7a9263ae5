#include "models/reading.hpp"

#include <algorithm>

namespace rmoe {
namespace {

/// Rows [first, first + n) of x [1,N,W] as [1,n,W].
Tensor part_of(const Tensor& x, int64_t first, int64_t n) {
  const int64_t N = x.dim(1), W = x.dim(2);
  return x.reshape({N, W}).rows(first, n).reshape({1, n, W});
}

}  // namespace

KeptKeys::KeptKeys(const KeptKeys& other) : size_(other.size_) {
  if (size_ == 0) return;
  keys_ = clone(other.keys_.rows(0, size_));
  values_ = clone(other.values_.rows(0, size_));
}

void KeptKeys::append(const Tensor& keys, const Tensor& values, int64_t window) {
  constexpr int64_t kLeastRoom = 64;
  const int64_t n = keys.dim(1), W = keys.dim(2);
  if (!keys_ || size_ + n > keys_.dim(0)) {
    const int64_t along = std::min(size_, window);
    const auto move = [&](Tensor& rows) {
      const Tensor roomy = empty_like(keys, {std::max(kLeastRoom, 2 * (along + n)), W});
      if (along > 0) copy(roomy.rows(0, along), rows.rows(size_ - along, along));
      rows = roomy;
    };
    move(keys_);
    move(values_);
    size_ = along;
  }
  copy(keys_.rows(size_, n), keys);
  copy(values_.rows(size_, n), values);
  size_ += n;
}

Var attend_each(const Reading* reading, int64_t layer, const Var& q, const Var& k, const Var& v,
                const Attend& attend) {
  if (!reading) return attend(q, k, v, nullptr, 0);
  const Tensor joined = empty_like(q.value());  // [1,N,C]
  int64_t row = 0;
  for (size_t i = 0; i < reading->sequences.size(); ++i) {
    const int64_t n = reading->tokens[i];
    SequenceState& sequence = *reading->sequences[i];
    const auto part = [&](const Var& x) { return Var(part_of(x.value(), row, n)); };
    const Var y = attend(part(q), part(k), part(v), &sequence.layers[layer], sequence.length);
    copy(part_of(joined, row, n), y.value());
    row += n;
  }
  return Var(joined);
}

}  // namespace rmoe
