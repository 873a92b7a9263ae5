// Who owns which parameters under ZeRO-1: all of them, laid one behind the other, are cut into one range per
// rank. Ranges are contiguous and equally long (the last ones reach into padding), so any sizes divide among
// any number of ranks.
#pragma once

#include <cstdint>
#include <vector>

namespace rmoe {

/// Elements [begin, end) of tensor number `tensor`.
struct Slice {
  int64_t tensor, begin, end;
  bool operator==(const Slice&) const = default;
};

class ShardedRange {
 public:
  /// Tensors of these many elements. Ranges are multiples of `align`: 128 keeps vector accesses whole.
  ShardedRange(std::vector<int64_t> numels, int ranks, int64_t align = 128);

  int ranks() const { return ranks_; }
  /// Elements of all tensors, and of a rank's range with its padding.
  int64_t total() const { return total_; }
  int64_t length() const { return length_; }

  /// What a rank owns, in the order of the tensors; nothing is empty.
  std::vector<Slice> owned_by(int rank) const;
  /// The owners of one tensor, in the order of its elements.
  struct Part {
    int rank;
    int64_t begin, end;
    bool operator==(const Part&) const = default;
  };
  std::vector<Part> parts_of(int64_t tensor) const;

 private:
  std::vector<int64_t> starts_;  // of every tensor in the whole, and the end
  int ranks_;
  int64_t total_, length_;
};

}  // namespace rmoe
