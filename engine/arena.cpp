#include "engine/arena.hpp"

#include "engine/error.hpp"

#include <algorithm>

namespace rmoe {

int64_t Arena::allocate(int64_t bytes) {
  const int64_t size = rounded(bytes);
  const auto hole = holes_.lower_bound({size, 0});
  if (hole != holes_.end()) {
    const int64_t offset = hole->second, end = offset + hole->first;
    remove_hole(offset, end);
    if (offset + size < end) add_hole(offset + size, end);
    return offset;
  }
  if (size > capacity_ - top_) return -1;
  const int64_t offset = top_;
  top_ += size;
  high_water_ = std::max(high_water_, top_);
  return offset;
}

void Arena::release(int64_t offset, int64_t bytes) {
  int64_t begin = offset, end = offset + rounded(bytes);
  const auto next = end_of_.lower_bound(begin);
  const auto before = next == end_of_.begin() ? end_of_.end() : std::prev(next);
  const bool touches_before = before != end_of_.end() && before->second >= begin;
  const bool touches_next = next != end_of_.end() && next->first <= end;
  RMOE_CHECK(begin >= 0 && end <= top_ && !(touches_before && before->second > begin) &&
                 !(touches_next && next->first < end),
             "arena: ", bytes, " bytes at ", offset, " are released that are no piece");
  if (touches_next) {
    end = next->second;
    remove_hole(next->first, end);
  }
  if (touches_before) {
    begin = before->first;
    remove_hole(begin, before->second);
  }
  if (end == top_)
    top_ = begin;
  else
    add_hole(begin, end);
}

void Arena::add_hole(int64_t offset, int64_t end) {
  end_of_.emplace(offset, end);
  holes_.emplace(end - offset, offset);
}

void Arena::remove_hole(int64_t offset, int64_t end) {
  end_of_.erase(offset);
  holes_.erase({end - offset, offset});
}

}  // namespace rmoe
