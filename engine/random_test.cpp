#include "engine/random.hpp"

#include "engine/random_bits.hpp"

#include <doctest/doctest.h>

namespace rmoe::test {

TEST_CASE("random: philox gives the published numbers") {
  using Words = std::array<uint32_t, 4>;
  CHECK(philox(0, 0, 0) == Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  const uint64_t ones = ~uint64_t{0};
  CHECK(philox(ones, ones, ones) == Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
}

TEST_CASE("random: a run of numbers equals the numbers one by one") {
  const uint64_t seed = 0xfedcba9876543210, stream = 0x0123456789abcdef, carry = uint64_t{1} << 34;
  for (uint64_t first : {uint64_t{0}, uint64_t{3}, uint64_t{62}, uint64_t{65}, carry - 70})
    for (int64_t n : {0, 1, 2, 63, 64, 65, 131, 1000}) {
      std::vector<float> u(n + 1, -1.0f);
      uniform_run(u.data(), n, seed, stream, first);
      int64_t wrong = 0;
      for (int64_t i = 0; i < n; ++i) wrong += u[i] != uniform_at(seed, stream, first + i);
      CHECK_MESSAGE(wrong == 0, n, " numbers from ", first);
      CHECK(u[n] == -1.0f);
    }
}

TEST_CASE("random: bits say which numbers reach a bound") {
  const uint64_t seed = 0xfedcba9876543210, stream = 0x0123456789abcdef;
  for (uint64_t first : {uint64_t{0}, uint64_t{3}, uint64_t{62}, uint64_t{129}})
    for (int64_t n : {1, 31, 32, 33, 127, 128, 129, 400})
      for (double least : {0.1, 0.5}) {
        std::vector<uint32_t> words((n + 31) / 32 + 1, 0xa5a5a5a5u);
        uniform_at_least(words.data(), n, least, seed, stream, first);
        int64_t wrong = 0;
        for (int64_t i = 0; i < (n + 31) / 32 * 32; ++i)
          wrong += (words[i / 32] >> i % 32 & 1) != (i < n && uniform_at(seed, stream, first + i) >= least);
        CHECK_MESSAGE(wrong == 0, n, " bits from ", first, ", at least ", least);
        CHECK(words.back() == 0xa5a5a5a5u);
      }
}

}  // namespace rmoe::test
