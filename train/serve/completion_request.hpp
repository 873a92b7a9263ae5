// The body of POST /v1/completions, checked: OpenAI's legacy completions with top_k, echo of token arrays and
// max_tokens 0 as vLLM and the evaluation harness use them. Unknown fields are ignored, as OpenAI-compatible
// servers do; a known field of a wrong type, out of range or asking for what is not here gets status 400.
#pragma once

#include "data/tokenizer/tokenizer.hpp"
#include "train/choose.hpp"
#include "train/serve/limits.hpp"

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

namespace rmoe::serve {

inline constexpr int64_t kMostLogProbs = 20;

struct CompletionRequest {
  std::vector<std::vector<int32_t>> prompts;  // none empty
  int64_t max_tokens = 16;
  ChoiceOptions choice;
  std::optional<uint64_t> seed;
  int64_t n = 1;
  std::vector<std::string> stop;
  bool echo = false;
  std::optional<int64_t> logprobs;
  bool stream = false;
  bool include_usage = false;  // stream_options.include_usage
};

/// Any body that is not a JSON object, or nested deeper than a request can be, is a RequestError.
nlohmann::json parse_body(const std::string& body);

CompletionRequest parse_completion(const std::string& body, const Tokenizer& tokenizer,
                                   const EngineLimits& limits);

/// The tokens that {"prompt": text} and {"tokens": [ids]} stand for: the bodies of /tokenize and /detokenize.
std::vector<int32_t> parse_tokenize(const std::string& body, const Tokenizer& tokenizer);
std::vector<int32_t> parse_detokenize(const std::string& body, const Tokenizer& tokenizer);

}  // namespace rmoe::serve
