#include "data/tokenizer/merger.hpp"

#include <algorithm>

namespace rmoe {

void Merger::consider(const PairTable& table, int32_t left) {
  if (left < 0 || nodes_[left].next < 0) return;
  const int32_t a = nodes_[left].id, b = nodes_[nodes_[left].next].id;
  const Merge* merge = table.find(a, b);
  if (merge == nullptr) return;
  heap_.push_back({uint64_t(merge->rank) << 32 | uint32_t(left), a, b, merge->id});
  std::push_heap(heap_.begin(), heap_.end());
}

std::span<const int32_t> Merger::merge(const PairTable& table, std::span<const int32_t> symbols) {
  const int32_t n = int32_t(symbols.size());
  nodes_.resize(n);
  heap_.clear();
  for (int32_t i = 0; i < n; ++i) nodes_[i] = {symbols[i], i - 1, i + 1 < n ? i + 1 : -1};
  for (int32_t i = 0; i < n; ++i) consider(table, i);
  while (!heap_.empty()) {
    const Candidate best = heap_.front();
    std::pop_heap(heap_.begin(), heap_.end());
    heap_.pop_back();
    Node& left = nodes_[uint32_t(best.order)];
    // The pair may have been broken up since: one of the two has merged with somebody else.
    if (left.id != best.left || left.next < 0 || nodes_[left.next].id != best.right) continue;
    Node& right = nodes_[left.next];
    left.id = best.merged;
    left.next = right.next;
    right.id = -1;
    if (left.next >= 0) nodes_[left.next].previous = int32_t(uint32_t(best.order));
    consider(table, left.previous);
    consider(table, int32_t(uint32_t(best.order)));
  }
  merged_.clear();
  for (int32_t i = n > 0 ? 0 : -1; i >= 0; i = nodes_[i].next) merged_.push_back(nodes_[i].id);
  return merged_;
}

}  // namespace rmoe
