// Places in one range of memory, as numbers: the arena never touches what they stand for. Memory of a GPU is
// handed out by it, and a step is counted with it before there is any (engine/rehearsal.hpp).
//
// A hole that fits best is used, of equal ones the lowest; only where none fits does the arena grow, and it
// shrinks when its last piece goes. So an offset depends on what is live alone, not on what came and went,
// and not on the capacity: the same calls give the same offsets in every arena that is large enough.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <memory_resource>
#include <set>
#include <utility>

namespace rmoe {

class Arena {
 public:
  static constexpr int64_t kAlignment = 256;  // what kernels, cuBLASLt and the driver's own blocks keep

  explicit Arena(int64_t capacity = std::numeric_limits<int64_t>::max()) : capacity_(capacity) {}

  /// What a piece takes.
  static int64_t rounded(int64_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

  /// Offset of a piece, a multiple of kAlignment; -1 if there is no room. In O(log pieces).
  int64_t allocate(int64_t bytes);
  /// With the bytes it was allocated with. An Error if that is no piece.
  void release(int64_t offset, int64_t bytes);

  bool is_empty() const { return top_ == 0; }
  /// The end of the last piece, now and at most.
  int64_t top() const { return top_; }
  int64_t high_water() const { return high_water_; }

 private:
  using Hole = std::pair<int64_t, int64_t>;  // (bytes, offset)

  void add_hole(int64_t offset, int64_t end);
  void remove_hole(int64_t offset, int64_t end);

  int64_t capacity_, top_ = 0, high_water_ = 0;
  std::pmr::unsynchronized_pool_resource nodes_;     // keeps those of holes that are gone for the next ones
  std::pmr::map<int64_t, int64_t> end_of_{&nodes_};  // of the hole at an offset; no two of them touch
  std::pmr::set<Hole> holes_{&nodes_};
};

}  // namespace rmoe
