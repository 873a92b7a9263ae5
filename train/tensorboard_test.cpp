#include "train/tensorboard.hpp"

#include "tests/folder.hpp"
#include "train/test_tools.hpp"

#include <algorithm>
#include <cmath>
#include <doctest/doctest.h>

namespace rmoe::test {
using namespace tensorboard;

TEST_CASE("tensorboard: crc32c gives its check value") { CHECK(crc32c("123456789") == 0xe3069283u); }

TEST_CASE("tensorboard: records are those that protoc decodes") {
  CHECK(hex(record(version_event(1))) ==
        "1800000000000000a37f4b2209000000000000f03f1a0d627261696e2e4576656e743a3286bf577a");
  CHECK(hex(record(scalar_event(2, 7, "train/loss", 2.5))) ==
        "200000000000000029eda95009000000000000004010072a130a110a0a747261696e2f6c6f737315000020409f7ba4f7");
  const Histogram h{0, 3, 4, 6, 14, {1, 2, 3}, {1, 1, 2}};
  CHECK(hex(record(histogram_event(2, 7, "moe/load", h))) ==
        "7c00000000000000c9e3c7c809000000000000004010072a6f0a6d0a086d6f652f6c6f61642a61090000000000"
        "000000110000000000000840190000000000001040210000000000001840290000000000002c40321800000000"
        "0000f03f000000000000004000000000000008403a18000000000000f03f000000000000f03f00000000000000"
        "4068e780d7");
}

TEST_CASE("tensorboard: steps beyond one byte are varints") {
  CHECK(hex(scalar_event(0, 300, "a", 0)).starts_with("09000000000000000010ac02"));
}

TEST_CASE("tensorboard: a histogram counts every finite value once") {
  const double values[] = {1, 2, 2, 5, NAN, INFINITY};
  const Histogram h = histogram_of(values, 4);
  CHECK(h.limits == std::vector<double>{2, 3, 4, 5});
  CHECK(h.counts == std::vector<double>{3, 0, 0, 1});
  CHECK(h.min == 1);
  CHECK(h.max == 5);
  CHECK(h.count == 4);
  CHECK(h.sum == 10);
  CHECK(h.sum_squares == 34);
  const double same[] = {3, 3};
  CHECK(histogram_of(same, 4).counts == std::vector<double>{2});
  CHECK(histogram_of({}, 4).counts.empty());
}

TEST_CASE("tensorboard: bars stand over their index") {
  const double load[] = {2, 0, 1};
  const Histogram h = bars_of(load);
  CHECK(h.limits == std::vector<double>{1, 2, 3});
  CHECK(h.counts == std::vector<double>{2, 0, 1});
  CHECK(h.count == 3);
  CHECK(h.sum == 3.5);  // 2 * 0.5 + 1 * 2.5
}

TEST_CASE("tensorboard: each run and each resume writes a file of its own") {
  const TestFolder folder;
  std::vector<int64_t> sizes;
  for (const std::optional<int64_t> resumed : {std::optional<int64_t>(), std::optional<int64_t>(7)}) {
    EventWriter writer(folder / "events", resumed);
    writer.scalar(8, "loss", 1);
  }
  for (const auto& entry : std::filesystem::directory_iterator(folder / "events")) {
    CHECK(entry.path().filename().string().starts_with("events.out.tfevents."));
    sizes.push_back(int64_t(entry.file_size()));
  }
  std::ranges::sort(sizes);
  CHECK(sizes == std::vector<int64_t>{40 + 42, 40 + 31 + 42});  // version, start, scalar
}

}  // namespace rmoe::test
