// Finds the token that a whole word is. The table holds no text: it points into the pieces it is asked with.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace rmoe {

class WordTable {
 public:
  explicit WordTable(size_t words = 0) : slots_(std::bit_ceil(2 * words + 2), -1) {}

  /// No more words than the constructor was told; the first of equal words stays.
  void add(int32_t id, const std::vector<std::string>& pieces) {
    int32_t& slot = slots_[place_of(pieces[id], pieces)];
    if (slot < 0) slot = id;
  }

  /// -1 if the word is not there.
  int32_t find(std::string_view word, const std::vector<std::string>& pieces) const {
    return slots_[place_of(word, pieces)];
  }

 private:
  size_t place_of(std::string_view word, const std::vector<std::string>& pieces) const {
    const size_t mask = slots_.size() - 1;
    size_t i = std::hash<std::string_view>{}(word)&mask;
    while (slots_[i] >= 0 && pieces[slots_[i]] != word) i = (i + 1) & mask;
    return i;
  }

  std::vector<int32_t> slots_;
};

}  // namespace rmoe
