// Tokens: a long sequence of token ids, whether it lies in memory or in mapped files. A cheap handle: copies
// share what is behind it.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <variant>
#include <vector>

namespace rmoe {

class Tokens {
 public:
  Tokens() = default;
  Tokens(std::vector<int32_t> tokens);                  // keeps them
  static Tokens view(std::span<const int32_t> tokens);  // they must outlive it

  /// Token ids of 16 or 32 bits that `owner` keeps alive. Each id is checked against the vocabulary when it
  /// is read; `name` says in the error which file it is in.
  struct Piece {
    std::variant<std::span<const uint16_t>, std::span<const uint32_t>> ids;
    int64_t vocabulary;
    std::string name;
    std::shared_ptr<const void> owner;
  };
  void append(Piece piece);
  void append(const Tokens& other);

  int64_t size() const { return ends_.empty() ? 0 : ends_.back(); }
  bool empty() const { return size() == 0; }
  /// out_i = token begin + i. They must exist.
  void copy(int64_t begin, std::span<int32_t> out) const;
  std::vector<int32_t> to_vector() const;

 private:
  std::vector<Piece> pieces_;
  std::vector<int64_t> ends_;  // of each piece in the whole
};

}  // namespace rmoe
