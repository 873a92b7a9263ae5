#include "engine/comm/sharded_range.hpp"

#include <algorithm>

namespace rmoe {

ShardedRange::ShardedRange(std::vector<int64_t> numels, int ranks, int64_t align) : ranks_(ranks) {
  starts_.push_back(0);
  for (const int64_t n : numels) starts_.push_back(starts_.back() + n);
  total_ = starts_.back();
  const int64_t unit = ranks * align;
  length_ = (total_ + unit - 1) / unit * align;
}

std::vector<ShardedRange::Part> ShardedRange::parts_of(int64_t tensor) const {
  const int64_t first = starts_[size_t(tensor)], last = starts_[size_t(tensor) + 1];
  std::vector<Part> parts;
  for (int64_t begin = first; begin < last;) {
    const int64_t rank = begin / length_, end = std::min(last, (rank + 1) * length_);
    parts.push_back({int(rank), begin - first, end - first});
    begin = end;
  }
  return parts;
}

std::vector<Slice> ShardedRange::owned_by(int rank) const {
  std::vector<Slice> slices;
  for (int64_t tensor = 0; tensor + 1 < int64_t(starts_.size()); ++tensor)
    for (const Part& part : parts_of(tensor))
      if (part.rank == rank) slices.push_back({tensor, part.begin, part.end});
  return slices;
}

}  // namespace rmoe
