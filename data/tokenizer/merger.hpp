// Byte-pair encoding proper: again and again the pair of neighbours with the lowest rank, the leftmost of
// equals, becomes one symbol.
#pragma once

#include "data/tokenizer/pair_table.hpp"

#include <span>

namespace rmoe {

/// Keeps its memory from one word to the next; every thread has its own. A word of n symbols costs O(n log n)
/// however long it is.
class Merger {
 public:
  /// What `symbols` become; valid until the next call.
  std::span<const int32_t> merge(const PairTable& table, std::span<const int32_t> symbols);

 private:
  struct Node {
    int32_t id, previous, next;  // a node that was merged into its left neighbour has id -1
  };
  struct Candidate {
    uint64_t order;  // rank, then place of the left node
    int32_t left, right, merged;
    bool operator<(const Candidate& other) const {
      return order > other.order;
    }  // a heap has its largest on top
  };

  void consider(const PairTable& table, int32_t left);

  std::vector<Node> nodes_;
  std::vector<Candidate> heap_;
  std::vector<int32_t> merged_;
};

}  // namespace rmoe
