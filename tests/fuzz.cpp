#include "tests/fuzz.hpp"

#include "engine/random.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

namespace rmoe::test {
namespace {

/// Draws that depend on (execution, number of the draw) alone.
class Draws {
 public:
  explicit Draws(int64_t execution) : execution_(uint64_t(execution)) {}
  /// Below n; 0 if n is 0.
  size_t below(size_t n) { return n ? size_t(uniform_at(kSeed, execution_, next_++) * double(n)) : 0; }

 private:
  static constexpr uint64_t kSeed = 0x66757A7A;
  uint64_t execution_;
  int64_t next_ = 0;
};

const std::vector<std::string> kExtremes{"-1",    "0",    "4294967296", "18446744073709551615",
                                         "1e999", "nan",  "[",          "{",
                                         "}",     "\"",   "\\",         ",",
                                         "\n",    "true", "null",       "\xFF\xFE",
                                         "\x80",  "%s"};

std::string number_bytes(uint64_t value, size_t width) {
  return {reinterpret_cast<const char*>(&value), width};
}

void mutate(std::string& bytes, const std::vector<std::string>& seeds, Draws& draw) {
  const size_t at = draw.below(bytes.size() + 1),
               span = draw.below(std::min<size_t>(bytes.size() - at, 32) + 1);
  switch (draw.below(8)) {
    case 0:
      bytes.resize(at);
      break;
    case 1:
      if (at < bytes.size()) bytes[at] = char(bytes[at] ^ (1 << draw.below(8)));
      break;
    case 2:
      bytes.erase(at, span);
      break;
    case 3:
      bytes.insert(at, bytes.substr(at, span));
      break;
    case 4:
      bytes.insert(at, 1, char(draw.below(256)));
      break;
    case 5:
      bytes.replace(at, span, kExtremes[draw.below(kExtremes.size())]);
      break;
    case 6: {  // a binary length or count that lies
      const size_t width = size_t{1} << draw.below(4);
      const uint64_t values[] = {0, 1, 0x7F, 0xFF, 0x7FFFFFFF, 0xFFFFFFFF, ~uint64_t{0} >> 1, ~uint64_t{0}};
      bytes.replace(at, std::min(width, bytes.size() - at), number_bytes(values[draw.below(8)], width));
      break;
    }
    default: {
      const std::string& other = seeds[draw.below(seeds.size())];
      bytes = bytes.substr(0, at) + other.substr(draw.below(other.size() + 1));
    }
  }
}

std::string hex(const std::string& bytes) {
  std::string text;
  for (const unsigned char byte : bytes) text += fmt::format("{:02x}", byte);
  return text;
}

}  // namespace

FuzzCounts fuzz(const std::vector<std::string>& seeds, int64_t executions,
                const std::function<void(const std::string&)>& target) {
  FuzzCounts counts;
  for (int64_t execution = 0; execution < executions; ++execution) {
    Draws draw(execution);
    std::string input = seeds[draw.below(seeds.size())];
    for (size_t changes = 1 + draw.below(4); changes > 0; --changes) mutate(input, seeds, draw);
    try {
      target(input);
      ++counts.accepted;
    } catch (const Error&) {
      ++counts.refused;
    } catch (const std::exception& problem) {
      FAIL(fmt::format("fuzz: {} on execution {}, input {}", problem.what(), execution, hex(input)));
    }
  }
  return counts;
}

TEST_CASE("fuzz: inputs repeat, and a strange exception is reported with its input") {
  std::string first, second;
  fuzz({"seed one", "{\"two\": 2}"}, 200, [&](const std::string& input) { first += input + '|'; });
  const FuzzCounts counts = fuzz({"seed one", "{\"two\": 2}"}, 200, [&](const std::string& input) {
    second += input + '|';
    RMOE_CHECK(input.size() % 2 == 0, "odd");
  });
  CHECK(first == second);
  CHECK(counts.accepted + counts.refused == 200);
  CHECK(counts.accepted > 20);
  CHECK(counts.refused > 20);
}

}  // namespace rmoe::test
