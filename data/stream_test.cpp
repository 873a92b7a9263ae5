#include "data/stream.hpp"

#include "tests/op_case.hpp"

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>
#include <numeric>
#include <set>

namespace rmoe::test {
namespace {

std::vector<int32_t> count_up(int64_t n) {
  std::vector<int32_t> tokens(n);
  std::iota(tokens.begin(), tokens.end(), 0);
  return tokens;
}

std::vector<int32_t> values(const Tensor& t) { return {t.span<int32_t>().begin(), t.span<int32_t>().end()}; }

}  // namespace

TEST_CASE("stream: B contiguous streams, targets one ahead") {
  const std::vector<int32_t> tokens = count_up(23);  // two streams of 11, one token dropped
  BatchStream stream(tokens, 2, 3, 1);
  Batch batch = stream.next();
  CHECK(batch.restart);
  CHECK(batch.inputs.shape() == Shape{2, 3});
  CHECK(values(batch.inputs) == std::vector<int32_t>{0, 1, 2, 11, 12, 13});
  CHECK(values(batch.targets) == std::vector<int32_t>{1, 2, 3, 12, 13, 14});
  batch = stream.next();
  CHECK_FALSE(batch.restart);
  CHECK(values(batch.inputs) == std::vector<int32_t>{3, 4, 5, 14, 15, 16});
  batch = stream.next();
  CHECK(values(batch.targets) == std::vector<int32_t>{7, 8, 9, 18, 19, 20});
  batch = stream.next();  // tokens 9 and 10 are no block: the next epoch
  CHECK(batch.restart);
  CHECK(stream.cursor().at("epoch") == 1);
  CHECK(values(batch.inputs)[0] < 3);
  CHECK(values(batch.inputs)[3] == values(batch.inputs)[0] + 11);
}

TEST_CASE("stream: a block that just fits is used, its last target being the last token") {
  const std::vector<int32_t> tokens = count_up(7);
  BatchStream stream(tokens, 1, 3, 1);
  stream.next();
  const Batch batch = stream.next();
  CHECK_FALSE(batch.restart);
  CHECK(values(batch.targets) == std::vector<int32_t>{4, 5, 6});
}

TEST_CASE("stream: every epoch starts at an offset below T that depends on seed and epoch alone") {
  const std::vector<int32_t> tokens = count_up(100);
  const auto starts = [&](uint64_t seed) {
    BatchStream stream(tokens, 2, 16, seed);
    std::vector<int32_t> out;
    while (out.size() < 200) {
      const Batch batch = stream.next();
      if (batch.restart) out.push_back(values(batch.inputs)[0]);
    }
    return out;
  };
  const auto a = starts(1);
  CHECK(a == starts(1));
  CHECK(a != starts(2));
  CHECK(a[0] == 0);
  CHECK(std::set(a.begin(), a.end()).size() == 16);  // all offsets come up
  CHECK(*std::max_element(a.begin(), a.end()) == 15);
}

TEST_CASE("stream: a saved cursor continues exactly, wherever it was saved") {
  const std::vector<int32_t> tokens = count_up(61);
  BatchStream stream(tokens, 3, 4, 7);
  for (int saved = 0; saved < 40; ++saved) {
    BatchStream resumed(tokens, 3, 4, 7);
    resumed.seek(stream.cursor());
    BatchStream original = stream;
    for (int i = 0; i < 12; ++i) {
      const Batch a = original.next(), b = resumed.next();
      CHECK(a.restart == b.restart);
      CHECK(values(a.inputs) == values(b.inputs));
      CHECK(values(a.targets) == values(b.targets));
      CHECK(original.cursor() == resumed.cursor());
    }
    stream.next();
  }
}

TEST_CASE("stream: a cursor of another kind, or of nowhere, is refused") {
  const std::vector<int32_t> tokens = count_up(100);
  BatchStream stream(tokens, 2, 3, 1);
  const nlohmann::json before = stream.cursor();
  for (const char* cursor : {R"({"samples":[1,2]})", R"({"position":-1,"epoch":0})",
                             R"({"position":1.5,"epoch":0})", R"({"position":50,"epoch":0})", "[]", "3"}) {
    CAPTURE(cursor);
    CHECK_THROWS_AS(stream.seek(nlohmann::json::parse(cursor)), Error);
  }
  CHECK(stream.cursor() == before);
  CHECK(
      error_of([&] {
        stream.seek({{"samples", 1}});
      }) ==
      "data: a cursor {\"samples\":1} without a count \"position\": it was saved by another kind of stream");
}

TEST_CASE("stream: the shortest text that is enough, and one token less") {
  const std::vector<int32_t> enough = count_up(8), short_by_one = count_up(7);
  BatchStream stream(enough, 2, 3, 1);
  for (int i = 0; i < 5; ++i) {
    const Batch batch = stream.next();
    CHECK(batch.restart);
    CHECK(values(batch.inputs) == std::vector<int32_t>{0, 1, 2, 4, 5, 6});
  }
  const std::string error =
      "data: 2 streams with a block of 3 tokens and one to predict need 8 tokens, the text has 7: use fewer "
      "streams, "
      "shorter blocks or more text";
  CHECK(error_of([&] { BatchStream(short_by_one, 2, 3, 1); }) == error);
  CHECK(error_of([&] { EvalBlocks(short_by_one, 3, 2); }) == error);
  CHECK(error_of([&] {
          stream.seek({{"position", 9}, {"epoch", 0}});
        }) == "data: cursor at 9 of epoch 0 is not in streams of 4 tokens");
}

TEST_CASE("stream: evaluation sees whole blocks once, in order, and drops the tail") {
  const std::vector<int32_t> tokens = count_up(8 * 11 + 5);
  const EvalBlocks blocks(tokens, 3);
  REQUIRE(blocks.count() == 3);
  CHECK(blocks.block(0).inputs.shape() == Shape{8, 3});
  for (int64_t i = 0; i < 3; ++i) {
    const Batch batch = blocks.block(i);
    CHECK(batch.restart == (i == 0));
    CHECK(values(batch.inputs)[0] == 3 * i);
    CHECK(values(batch.inputs)[3 * 7 + 2] == 7 * 11 + 3 * i + 2);
    CHECK(values(batch.targets)[3 * 7 + 2] == 7 * 11 + 3 * i + 3);
  }
  CHECK(EvalBlocks(tokens, 3, 8, 2).count() == 2);
  CHECK(EvalBlocks(tokens, 3, 8, 100).count() == 3);
  CHECK(EvalBlocks(count_up(7), 3, 1).count() == 2);
  CHECK(EvalBlocks(count_up(9), 3, 1).count() == 2);  // nothing to predict after token 8
}

TEST_CASE("stream: exact evaluation predicts every token but the first once, the last block shorter") {
  for (const int64_t n : {2, 3, 10, 11, 12}) {
    CAPTURE(n);
    const std::vector<int32_t> tokens = count_up(n);
    const EvalBlocks blocks = EvalBlocks::exact(tokens, 5);
    CHECK(blocks.streams() == 1);
    std::vector<int32_t> inputs, targets;
    for (int64_t i = 0; i < blocks.count(); ++i) {
      const Batch batch = blocks.block(i);
      CHECK(batch.restart == (i == 0));
      CHECK(batch.inputs.dim(1) == std::min<int64_t>(5, n - 1 - 5 * i));
      for (const int32_t token : values(batch.inputs)) inputs.push_back(token);
      for (const int32_t token : values(batch.targets)) targets.push_back(token);
    }
    CHECK(inputs == std::vector(tokens.begin(), tokens.end() - 1));
    CHECK(targets == std::vector(tokens.begin() + 1, tokens.end()));
  }
  CHECK(error_of([] { EvalBlocks::exact(count_up(1), 5); }) ==
        "data: blocks of 5 of a text of 1 tokens: wanted at least one token and one to predict");
}

}  // namespace rmoe::test
