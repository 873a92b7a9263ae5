#include "engine/arena.hpp"

#include "engine/error.hpp"
#include "engine/random.hpp"

#include <algorithm>
#include <doctest/doctest.h>
#include <vector>

namespace rmoe::test {
namespace {

constexpr int64_t kUnit = Arena::kAlignment;

/// The arena's rules by looking at every unit of it.
class NaiveArena {
 public:
  explicit NaiveArena(int64_t capacity) : capacity_(capacity) {}

  int64_t allocate(int64_t bytes) {
    const int64_t size = units_of(bytes), top = this->top();
    int64_t best = -1, best_length = 0;
    for (int64_t begin = 0; begin < top; ++begin) {
      int64_t end = begin;
      while (end < top && !taken_[size_t(end)]) ++end;
      const int64_t length = end - begin;
      if (length >= size && (best < 0 || length < best_length)) best = begin, best_length = length;
      begin = end;
    }
    if (best < 0) best = top;
    if ((best + size) * kUnit > capacity_) return -1;
    taken_.resize(std::max(taken_.size(), size_t(best + size)));
    std::fill_n(taken_.begin() + best, size, true);
    high_water_ = std::max(high_water_, best + size);
    return best * kUnit;
  }
  void release(int64_t offset, int64_t bytes) {
    std::fill_n(taken_.begin() + offset / kUnit, units_of(bytes), false);
  }
  int64_t top() const {
    int64_t top = int64_t(taken_.size());
    while (top > 0 && !taken_[size_t(top - 1)]) --top;
    return top;
  }
  int64_t high_water() const { return high_water_; }

 private:
  static int64_t units_of(int64_t bytes) { return (bytes + kUnit - 1) / kUnit; }

  int64_t capacity_, high_water_ = 0;
  std::vector<bool> taken_;  // unit by unit
};

struct Piece {
  int64_t offset, bytes;
};

bool overlap(const Piece& a, const Piece& b) {
  return a.offset < b.offset + b.bytes && b.offset < a.offset + a.bytes;
}

}  // namespace

TEST_CASE("arena: random pieces lie where the naive model puts them, and never on each other") {
  for (const int64_t capacity : {int64_t{40} * kUnit, int64_t{1} << 40})
    for (uint64_t seed = 0; seed < 20; ++seed) {
      CAPTURE(capacity);
      CAPTURE(seed);
      Arena arena(capacity);
      NaiveArena naive(capacity);
      std::vector<Piece> live;
      for (uint64_t i = 0; i < 400; ++i) {
        const auto draw = [&](uint64_t what) { return uniform_at(seed, what, i); };
        if (draw(0) < 0.55f) {
          const auto bytes = int64_t(1 + draw(1) * draw(1) * 12 * float(kUnit));
          const int64_t offset = arena.allocate(bytes);
          REQUIRE(offset == naive.allocate(bytes));
          if (offset < 0) continue;
          const Piece piece{offset, bytes};
          REQUIRE(offset % kUnit == 0);
          REQUIRE(offset + bytes <= capacity);
          REQUIRE(std::ranges::none_of(live, [&](const Piece& other) { return overlap(piece, other); }));
          live.push_back(piece);
        } else if (!live.empty()) {
          std::swap(live[size_t(draw(2) * float(live.size()))], live.back());
          arena.release(live.back().offset, live.back().bytes);
          naive.release(live.back().offset, live.back().bytes);
          live.pop_back();
        }
        REQUIRE(arena.top() == naive.top() * kUnit);
        REQUIRE(arena.high_water() == naive.high_water() * kUnit);
      }
      for (const Piece& piece : live) arena.release(piece.offset, piece.bytes);
      CHECK(arena.is_empty());
    }
}

TEST_CASE("arena: neighbours become one hole, whichever goes first; the last piece lowers the top") {
  for (const std::vector<int>& order : {std::vector{0, 1, 2}, {2, 1, 0}, {0, 2, 1}, {1, 0, 2}}) {
    Arena arena;
    for (int i = 0; i < 4; ++i) CHECK(arena.allocate(kUnit) == i * kUnit);
    for (const int i : order) arena.release(i * kUnit, kUnit);
    CHECK(arena.allocate(3 * kUnit) == 0);
    CHECK(arena.top() == 4 * kUnit);
    arena.release(3 * kUnit, kUnit);
    CHECK(arena.top() == 3 * kUnit);
    arena.release(0, 3 * kUnit);
    CHECK(arena.is_empty());
    CHECK(arena.high_water() == 4 * kUnit);
  }
}

TEST_CASE("arena: the smallest hole that fits is used, and its rest stays") {
  Arena arena;
  const std::vector<int64_t> sizes{5, 1, 2, 1, 3, 1};  // holes of 5, 2 and 3 units between walls
  std::vector<int64_t> offsets;
  for (const int64_t size : sizes) offsets.push_back(arena.allocate(size * kUnit));
  for (const size_t i : {0, 2, 4}) arena.release(offsets[i], sizes[i] * kUnit);
  CHECK(arena.allocate(3 * kUnit) == offsets[4]);
  CHECK(arena.allocate(kUnit + 1) == offsets[2]);
  CHECK(arena.allocate(4 * kUnit) == offsets[0]);
  CHECK(arena.allocate(1) == offsets[0] + 4 * kUnit);
  CHECK(arena.allocate(1) == 13 * kUnit);
}

TEST_CASE("arena: what does not fit, and what is no piece") {
  Arena arena(4 * kUnit + 1);
  CHECK(arena.allocate(4 * kUnit + 1) == -1);
  CHECK(arena.allocate(4 * kUnit) == 0);
  CHECK(arena.allocate(1) == -1);
  arena.release(0, 4 * kUnit);
  CHECK_THROWS_AS(arena.release(0, kUnit), Error);
  CHECK(arena.allocate(kUnit) == 0);
  CHECK(arena.allocate(kUnit) == kUnit);
  CHECK(arena.allocate(kUnit) == 2 * kUnit);
  arena.release(kUnit, kUnit);
  CHECK_THROWS_WITH_AS(arena.release(kUnit, kUnit), "arena: 256 bytes at 256 are released that are no piece",
                       Error);
  CHECK_THROWS_AS(arena.release(0, 2 * kUnit), Error);
}

}  // namespace rmoe::test
