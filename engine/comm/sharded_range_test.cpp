#include "engine/comm/sharded_range.hpp"

#include <algorithm>
#include <doctest/doctest.h>
#include <numeric>

namespace rmoe {

TEST_CASE("sharded_range: contiguous ranges, padded at the end") {
  const ShardedRange r({300, 5, 0, 79}, 3);
  CHECK(r.total() == 384);
  CHECK(r.length() == 128);
  CHECK(r.owned_by(0) == std::vector<Slice>{{0, 0, 128}});
  CHECK(r.owned_by(1) == std::vector<Slice>{{0, 128, 256}});
  CHECK(r.owned_by(2) == std::vector<Slice>{{0, 256, 300}, {1, 0, 5}, {3, 0, 79}});
  CHECK(r.parts_of(0) == std::vector<ShardedRange::Part>{{0, 0, 128}, {1, 128, 256}, {2, 256, 300}});
  CHECK(r.parts_of(2).empty());
}

TEST_CASE("sharded_range: more ranks than elements, and nothing at all") {
  const ShardedRange few({7}, 4);
  CHECK(few.length() == 128);
  CHECK(few.owned_by(0) == std::vector<Slice>{{0, 0, 7}});
  CHECK(few.owned_by(3).empty());
  const ShardedRange none({}, 2);
  CHECK(none.length() == 0);
  CHECK(none.owned_by(1).empty());
}

TEST_CASE("sharded_range: every element has one owner, in order, at any number of ranks") {
  const std::vector<int64_t> numels{1, 1280 * 17, 3, 127, 128, 129, 0, 99991, 64};
  for (int ranks = 1; ranks <= 9; ++ranks)
    for (const int64_t align : {1, 8, 128}) {
      const ShardedRange r(numels, ranks, align);
      CHECK(r.length() % align == 0);
      CHECK(r.length() * ranks >= r.total());
      CHECK(r.length() * ranks - r.total() < ranks * align);
      std::vector<int64_t> covered(numels.size());
      for (int rank = 0; rank < ranks; ++rank) {
        int64_t owned = 0;
        for (const Slice& s : r.owned_by(rank)) {
          CHECK(s.begin == covered[size_t(s.tensor)]);
          CHECK(s.begin < s.end);
          covered[size_t(s.tensor)] = s.end;
          owned += s.end - s.begin;
        }
        CHECK(owned == std::clamp<int64_t>(r.total() - rank * r.length(), 0, r.length()));
      }
      CHECK(covered == numels);
    }
}

}  // namespace rmoe
