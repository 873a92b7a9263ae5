#include "train/serve/token_list.hpp"

#include "train/serve/test_tokenizer.hpp"

#include <algorithm>
#include <cmath>
#include <doctest/doctest.h>

namespace rmoe::test {

using namespace serve;

TEST_CASE("log-probabilities: the likeliest token and the token itself are the same float") {
  std::vector<float> logits(50);
  for (size_t i = 0; i < logits.size(); ++i) logits[i] = float(std::sin(double(i * i))) * 3;
  double all = 0;
  for (const float z : logits) all += std::exp(double(z));
  const auto best = int32_t(std::ranges::max_element(logits) - logits.begin());
  for (int32_t token = 0; token < 50; ++token) {
    const TokenInfo info = describe(logits, token, 3);
    CHECK(info.log_prob == doctest::Approx(double(logits[token]) - std::log(all)).epsilon(1e-6));
    CHECK(info.top[0].first == best);
    CHECK(info.top.size() == (logits[token] >= logits[info.top[2].first] ? 3 : 4));
    const auto named = std::ranges::find(info.top, token, &std::pair<int32_t, float>::first);
    REQUIRE(named != info.top.end());
    CHECK(named->second == info.log_prob);
  }
  CHECK(describe(logits, best, 1).top ==
        std::vector<std::pair<int32_t, float>>{{best, describe(logits, best, 1).log_prob}});
  CHECK(describe(logits, 7, 0).top.size() == 1);
}

TEST_CASE("token list: offsets count characters, half characters are shown as bytes") {
  const TestTokenizer tokenizer;
  TokenList list(tokenizer);
  list.add_first(TestTokenizer::kHalf);  // "z" and two bytes of "€"
  list.add({.token = 0xAC, .log_prob = -1, .top = {{0xAC, -1}}});
  list.add({.token = 'q', .log_prob = -2, .top = {{'q', -2}}});
  auto json = list.take();
  CHECK(json["tokens"] == nlohmann::ordered_json{"bytes:\\x7a\\xe2\\x82", "bytes:\\xac", "q"});
  CHECK(json["text_offset"] == nlohmann::ordered_json{0, 1, 2});
  CHECK(json["token_logprobs"] == nlohmann::ordered_json{nullptr, -1.0, -2.0});
  CHECK(json["top_logprobs"][0].is_null());
  list.add({.token = TestTokenizer::kEnd, .log_prob = -3, .top = {{TestTokenizer::kEnd, -3}}});
  json = list.take();
  CHECK(json["tokens"] == nlohmann::ordered_json{"</s>"});
  CHECK(json["text_offset"] == nlohmann::ordered_json{3});

  TokenList after(tokenizer);
  after.skip(tokenizer.encode("é€"));
  after.add({.token = 'q', .log_prob = 0, .top = {{'q', 0}}});
  CHECK(after.take()["text_offset"] == nlohmann::ordered_json{2});
}

TEST_CASE("token list: two tokens that look alike keep their own entries") {
  const TestTokenizer tokenizer;
  TokenList list(tokenizer);
  list.add({.token = TestTokenizer::kAlsoA,
            .log_prob = -2,
            .top = {{'a', -1}, {TestTokenizer::kAlsoA, -2}, {TestTokenizer::kAlsoE, -3}, {'e', -4}}});
  const auto top = list.take()["top_logprobs"][0];
  CHECK(top ==
        nlohmann::ordered_json{{"a", -1.0}, {"token_id:256", -2.0}, {"e", -3.0}, {"token_id:101", -4.0}});
}

}  // namespace rmoe::test
