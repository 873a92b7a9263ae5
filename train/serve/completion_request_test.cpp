#include "train/serve/completion_request.hpp"

#include "tests/fuzz.hpp"
#include "train/serve/request_error.hpp"
#include "train/serve/test_tokenizer.hpp"

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

namespace rmoe::test {
namespace {

using namespace serve;

const EngineLimits kLimits{.prompt_tokens = 12, .max_tokens = 50, .concurrent = 4, .cache_tokens = 200};

CompletionRequest parsed(const std::string& body) {
  static const TestTokenizer tokenizer;
  return parse_completion(body, tokenizer, kLimits);
}

/// The field that the error names, and the status; "" if there is no error.
std::string refused(const std::string& body) {
  try {
    parsed(body);
    return "";
  } catch (const RequestError& e) {
    const auto json = nlohmann::json::parse(e.body());
    CHECK(json["error"]["type"] == "invalid_request_error");
    CHECK(json["error"]["message"].is_string());
    return std::to_string(e.status) + (e.parameter.empty() ? "" : " " + e.parameter);
  }
}

}  // namespace

TEST_CASE("completion request: the four shapes of a prompt") {
  const auto ids = [](std::string_view text) { return TestTokenizer().encode(text); };
  using Prompts = std::vector<std::vector<int32_t>>;
  CHECK(parsed(R"({"prompt": "ab"})").prompts == Prompts{ids("ab")});
  CHECK(parsed(R"({"prompt": ["ab", "c"]})").prompts == Prompts{ids("ab"), ids("c")});
  CHECK(parsed(R"({"prompt": [97, 98]})").prompts == Prompts{{97, 98}});
  CHECK(parsed(R"({"prompt": [[97], [98, 99]]})").prompts == Prompts{{97}, {98, 99}});
  CHECK(parsed(R"({"prompt": "a</s>"})").prompts == Prompts{{97, TestTokenizer::kEnd}});
  CHECK(parsed(R"({"prompt": ""})").prompts == Prompts{{TestTokenizer::kEnd}});  // from where texts begin
  CHECK(parsed(R"({"prompt": []})").prompts == Prompts{{TestTokenizer::kEnd}});
}

TEST_CASE("completion request: fields, their defaults, and fields nobody knows") {
  const CompletionRequest plain = parsed(R"({"prompt": "a", "model": "any", "user": 3, "invented": [1]})");
  CHECK(plain.max_tokens == 16);
  CHECK(plain.choice.temperature == 1);
  CHECK(plain.choice.top_p == 1);
  CHECK(plain.n == 1);
  CHECK_FALSE(plain.seed);
  CHECK_FALSE(plain.logprobs);
  CHECK_FALSE(plain.echo);
  CHECK_FALSE(plain.stream);
  const CompletionRequest full = parsed(R"({"prompt": "a", "max_tokens": 0, "temperature": 0.5, "top_p": 0.9,
      "top_k": -1, "seed": -7, "n": 2, "stop": ["x", "yz"], "echo": true, "logprobs": 5, "stream": true,
      "stream_options": {"include_usage": true}, "best_of": 2, "suffix": null, "presence_penalty": 0.0,
      "frequency_penalty": 0, "logit_bias": {}})");
  CHECK(full.max_tokens == 0);
  CHECK(full.choice.temperature == 0.5);
  CHECK(full.choice.top_p == 0.9);
  CHECK(full.choice.top_k == 0);
  CHECK(full.seed == uint64_t(-7));
  CHECK(full.n == 2);
  CHECK(full.stop == std::vector<std::string>{"x", "yz"});
  CHECK(full.echo);
  CHECK(full.logprobs == 5);
  CHECK(full.include_usage);
  CHECK(parsed(R"({"prompt": "a", "stop": "x"})").stop == std::vector<std::string>{"x"});
  CHECK(parsed(R"({"prompt": "a", "stop": null, "n": null, "seed": null})").stop.empty());
}

TEST_CASE("completion request: mistakes name their field") {
  const std::vector<std::pair<std::string, std::string>> cases{
      {"", "400"},
      {"{", "400"},
      {"[]", "400"},
      {"\"prompt\"", "400"},
      {"{\"prompt\": \"\xFF\"}", "400"},
      {R"({"prompt": 1e999})", "400"},
      {"{\"prompt\": " + std::string(100, '[') + std::string(100, ']') + "}", "400"},
      {"{}", "400 prompt"},
      {R"({"prompt": null})", "400 prompt"},
      {R"({"prompt": 3})", "400 prompt"},
      {R"({"prompt": {"a": 1}})", "400 prompt"},
      {R"({"prompt": [1, "a"]})", "400 prompt"},
      {R"({"prompt": ["a", 1]})", "400 prompt"},
      {R"({"prompt": [-1]})", "400 prompt"},
      {R"({"prompt": [100000]})", "400 prompt"},
      {R"({"prompt": [18446744073709551615]})", "400 prompt"},
      {R"({"prompt": [1.5]})", "400 prompt"},
      {R"({"prompt": "longer than a prompt may be"})", "400 prompt"},
      {R"({"prompt": ["a", "b", "c", "d"], "max_tokens": 50})", "400 prompt"},
      {R"({"prompt": "a", "max_tokens": -1})", "400 max_tokens"},
      {R"({"prompt": "a", "max_tokens": 51})", "400 max_tokens"},
      {R"({"prompt": "a", "max_tokens": "9"})", "400 max_tokens"},
      {R"({"prompt": "a", "max_tokens": true})", "400 max_tokens"},
      {R"({"prompt": "a", "max_tokens": 1.0})", "400 max_tokens"},
      {R"({"prompt": "a", "temperature": -0.1})", "400 temperature"},
      {R"({"prompt": "a", "temperature": "hot"})", "400 temperature"},
      {R"({"prompt": "a", "top_p": 1.1})", "400 top_p"},
      {R"({"prompt": "a", "top_k": -2})", "400 top_k"},
      {R"({"prompt": "a", "seed": 0.5})", "400 seed"},
      {R"({"prompt": "a", "n": 0})", "400 n"},
      {R"({"prompt": "a", "n": 5})", "400 n"},
      {R"({"prompt": "a", "stop": 3})", "400 stop"},
      {R"({"prompt": "a", "stop": [""]})", "400 stop"},
      {R"({"prompt": "a", "stop": ["1","2","3","4","5","6","7","8","9","a","b","c","d","e","f","g","h"]})",
       "400 stop"},
      {R"({"prompt": "a", "echo": 1})", "400 echo"},
      {R"({"prompt": "a", "stream": "yes"})", "400 stream"},
      {R"({"prompt": "a", "stream_options": 1})", "400 stream_options"},
      {R"({"prompt": "a", "logprobs": 21})", "400 logprobs"},
      {R"({"prompt": "a", "logprobs": true})", "400 logprobs"},
      {R"({"prompt": "a", "model": 3})", "400 model"},
      {R"({"prompt": "a", "best_of": 3})", "400 best_of"},
      {R"({"prompt": "a", "suffix": "b"})", "400 suffix"},
      {R"({"prompt": "a", "presence_penalty": 0.5})", "400 presence_penalty"},
      {R"({"prompt": "a", "logit_bias": {"50": 1}})", "400 logit_bias"},
  };
  for (const auto& [body, expected] : cases) {
    CAPTURE(body);
    CHECK(refused(body) == expected);
  }
}

TEST_CASE("completion request: any bytes are taken or refused") {
  const std::vector<std::string> seeds{
      R"({"model": "m", "prompt": "Hello", "max_tokens": 5, "temperature": 0.7, "stop": ["\n", "é"], "seed": 3})",
      R"({"prompt": [[1, 2, 3], [4, 5]], "max_tokens": 1, "logprobs": 1, "echo": true, "temperature": 0})",
      R"({"prompt": ["a", "b"], "n": 2, "stream": true, "stream_options": {"include_usage": true}, "top_k": 4})"};
  const FuzzCounts counts = fuzz(seeds, 20000, [](const std::string& body) { parsed(body); });
  CHECK(counts.accepted > 1000);
  CHECK(counts.refused > 1000);
  const TestTokenizer tokenizer;
  fuzz({R"({"prompt": "some text", "add_special_tokens": false})", R"({"tokens": [1, 2, 3]})"}, 5000,
       [&](const std::string& body) {
         parse_tokenize(body, tokenizer);
         parse_detokenize(body, tokenizer);
       });
}

}  // namespace rmoe::test
