// Which two neighbouring symbols merge, how early, and into what: a hash table with open addressing, because
// it is asked once or twice for every byte of text.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace rmoe {

/// rank: merges are done in its order, lowest first.
struct Merge {
  int32_t rank, id;
};

class PairTable {
 public:
  explicit PairTable(size_t pairs = 0) : slots_(std::bit_ceil(2 * pairs + 2)) {}

  /// A pair that is there already gets the new merge. No more pairs than the constructor was told.
  void set(int32_t left, int32_t right, Merge merge) {
    const uint64_t key = key_of(left, right);
    Slot& slot = slots_[place_of(key)];
    slot = {key, merge};
  }

  const Merge* find(int32_t left, int32_t right) const {
    const Slot& slot = slots_[place_of(key_of(left, right))];
    return slot.key == kEmpty ? nullptr : &slot.merge;
  }

 private:
  static constexpr uint64_t kEmpty = ~uint64_t{0};  // ids are not negative

  struct Slot {
    uint64_t key = kEmpty;
    Merge merge{};
  };

  static uint64_t key_of(int32_t left, int32_t right) {
    return uint64_t(uint32_t(left)) << 32 | uint32_t(right);
  }

  size_t place_of(uint64_t key) const {
    const size_t mask = slots_.size() - 1;
    size_t i = size_t((key * 0x9E3779B97F4A7C15u) >> 32) & mask;
    while (slots_[i].key != kEmpty && slots_[i].key != key) i = (i + 1) & mask;
    return i;
  }

  std::vector<Slot> slots_;
};

}  // namespace rmoe
