#include "data/shards/packed_stream.hpp"

#include "engine/memory.hpp"
#include "tests/op_case.hpp"

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>
#include <numeric>
#include <set>

namespace rmoe::test {
namespace {

/// first, first + 1, ...: what a token is says where it stood.
Tokens count_from(int32_t first, int64_t n) {
  std::vector<int32_t> tokens(static_cast<size_t>(n));
  std::iota(tokens.begin(), tokens.end(), first);
  return tokens;
}

std::vector<TokenSource> two_sources() { return {{count_from(0, 101), 0.7}, {count_from(1000, 57), 0.3}}; }

std::vector<int32_t> values(const Tensor& t) { return {t.span<int32_t>().begin(), t.span<int32_t>().end()}; }

std::vector<std::vector<int32_t>> batches(Stream& stream, int n) {
  std::vector<std::vector<int32_t>> all;
  for (int i = 0; i < n; ++i) {
    const Batch batch = stream.next();
    all.push_back(values(batch.inputs));
    const auto targets = values(batch.targets);
    all.back().insert(all.back().end(), targets.begin(), targets.end());
  }
  return all;
}

}  // namespace

TEST_CASE("packed stream: a sample is T consecutive tokens and the one after each") {
  PackedStream stream({{count_from(0, 30), 1}}, 2, 4, 1);
  const Batch batch = stream.next();
  CHECK(batch.restart);
  CHECK(batch.inputs.shape() == Shape{2, 4});
  const auto inputs = values(batch.inputs), targets = values(batch.targets);
  for (size_t i = 0; i < inputs.size(); ++i) {
    CHECK(inputs[i] == inputs[i / 4 * 4] + int32_t(i % 4));
    CHECK(targets[i] == inputs[i] + 1);
  }
  CHECK(inputs[0] % 4 == 0);
}

TEST_CASE("packed stream: an epoch reads every sample once, and the next one in another order") {
  PackedStream stream({{count_from(0, 101), 1}}, 5, 4, 9);  // 25 samples, 5 steps
  std::vector<std::vector<int32_t>> orders(3);
  for (auto& order : orders) {
    for (int step = 0; step < 5; ++step) {
      const auto inputs = values(stream.next().inputs);
      for (size_t row = 0; row < 5; ++row) order.push_back(inputs[row * 4]);
    }
    CHECK(std::set<int32_t>(order.begin(), order.end()).size() == 25);
    CHECK(*std::ranges::max_element(order) == 96);
  }
  CHECK(orders[0] != orders[1]);
  CHECK(orders[1] != orders[2]);
  PackedStream other({{count_from(0, 101), 1}}, 5, 4, 10);
  CHECK(values(other.next().inputs)[0] != orders[0][0]);
}

TEST_CASE("packed stream: a mixture gives each source its share, and short sources come round more often") {
  PackedStream stream(two_sources(), 10, 4, 3);
  int64_t second = 0;
  std::set<int32_t> seen;
  for (int step = 0; step < 20; ++step) {
    const auto inputs = values(stream.next().inputs);
    for (size_t row = 0; row < 10; ++row) {
      second += inputs[row * 4] >= 1000;
      if (inputs[row * 4] >= 1000) seen.insert(inputs[row * 4]);
    }
  }
  CHECK(second == 60);
  CHECK(seen.size() == 14);  // (57 - 1) / 4
}

TEST_CASE("packed stream: one, two and four ranks see the same global batches") {
  constexpr int64_t B = 8, T = 4;
  PackedStream whole(two_sources(), B, T, 5);
  for (const int64_t ranks : {2, 4}) {
    whole.seek(PackedStream(two_sources(), B, T, 5).cursor());
    std::vector<PackedStream> parts;
    for (int64_t k = 0; k < ranks; ++k) parts.emplace_back(two_sources(), B, T, 5, Rank{k, ranks});
    for (int step = 0; step < 12; ++step) {
      const Batch all = whole.next();
      for (int64_t k = 0; k < ranks; ++k) {
        const Batch part = parts[size_t(k)].next();
        CHECK(part.inputs.shape() == Shape{B / ranks, T});
        CHECK(values(part.inputs) == values(all.inputs.rows(k * B / ranks, B / ranks)));
        CHECK(values(part.targets) == values(all.targets.rows(k * B / ranks, B / ranks)));
      }
    }
    for (const PackedStream& part : parts) CHECK(part.cursor() == whole.cursor());
  }
}

TEST_CASE(
    "packed stream: it resumes exactly in the middle of an epoch of a mixture, on any number of ranks") {
  PackedStream whole(two_sources(), 4, 4, 21);
  const auto expected = batches(whole, 30);
  for (const int stop : {0, 1, 9, 17}) {
    PackedStream first(two_sources(), 4, 4, 21), second(two_sources(), 4, 4, 21);
    batches(first, stop);
    second.seek(nlohmann::json::parse(first.cursor().dump()));
    const auto rest = batches(second, 30 - stop);
    CHECK(std::equal(rest.begin(), rest.end(), expected.begin() + stop));
  }
}

TEST_CASE("packed stream: a step takes no memory from the system after the first") {
  PackedStream stream(two_sources(), 8, 4, 2);
  stream.next();
  const auto before = memory::stats(Device::cpu).system_calls;
  for (int i = 0; i < 100; ++i) stream.next();
  CHECK(memory::stats(Device::cpu).system_calls == before);
}

TEST_CASE("packed stream: what cannot be is refused") {
  CHECK_THROWS_WITH_AS(PackedStream(two_sources(), 4, 57, 1),
                       "data: source 1 has 57 tokens, a sample needs 58: use shorter blocks or more text",
                       Error);
  CHECK_THROWS_WITH_AS(PackedStream(two_sources(), 6, 4, 1, {0, 4}),
                       "data: a batch of 6 samples does not divide among 4 ranks", Error);
  CHECK_THROWS_AS(PackedStream(two_sources(), 4, 4, 1, {2, 2}), Error);
  CHECK_THROWS_AS(PackedStream({}, 4, 4, 1), Error);
  PackedStream stream(two_sources(), 4, 4, 1);
  for (const char* cursor : {R"({"position":3,"epoch":0})", "[]", R"({"samples":[1]})",
                             R"({"samples":["1",2]})", R"({"samples":[7,0]})"}) {
    CAPTURE(cursor);
    CHECK_THROWS_AS(stream.seek(nlohmann::json::parse(cursor)), Error);
  }
}

}  // namespace rmoe::test
