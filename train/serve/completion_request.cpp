#include "train/serve/completion_request.hpp"

#include "train/serve/request_error.hpp"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>

namespace rmoe::serve {
namespace {

using Json = nlohmann::json;

constexpr int kDeepest = 16;
constexpr size_t kMostStops = 16;
constexpr size_t kLongestStop = 1024;

template <class... Args>
[[noreturn]] void refuse(const std::string& field, const Args&... args) {
  throw RequestError(400, concat(field, ": ", args...), field);
}

/// A value as an error message quotes it.
std::string shown(const Json& value) {
  const std::string text = value.dump(-1, ' ', false, Json::error_handler_t::replace);
  return text.size() <= 40 ? text : concat(value.type_name(), " of ", text.size(), " characters");
}

/// Fields of the request's object; null stands for an absent one.
class Fields {
 public:
  explicit Fields(const Json& json) : json_(json) {}

  const Json* find(const std::string& name) const {
    const auto it = json_.find(name);
    return it == json_.end() || it->is_null() ? nullptr : &*it;
  }
  const Json& require(const std::string& name) const {
    const Json* value = find(name);
    if (!value) refuse(name, "is missing");
    return *value;
  }
  bool flag(const std::string& name) const {
    const Json* value = find(name);
    if (value && !value->is_boolean()) refuse(name, "wanted true or false, got ", shown(*value));
    return value && value->get<bool>();
  }
  int64_t integer(const std::string& name, int64_t otherwise, int64_t low, int64_t high) const {
    const Json* value = find(name);
    if (!value) return otherwise;
    if (!value->is_number_integer() || *value < low || *value > high)
      refuse(name, "wanted an integer of ", low, " to ", high, ", got ", shown(*value));
    return value->get<int64_t>();
  }
  double number(const std::string& name, double otherwise, double low, double high) const {
    const Json* value = find(name);
    if (!value) return otherwise;
    if (!value->is_number() || *value < low || *value > high)
      refuse(name, "wanted a number of ", low, " to ", high, ", got ", shown(*value));
    return value->get<double>();
  }
  /// OpenAI's fields that would change the answer and are not here.
  void refuse_unless(const std::string& name, std::initializer_list<Json> neutral) const {
    const Json* value = find(name);
    if (value && std::find(neutral.begin(), neutral.end(), *value) == neutral.end())
      refuse(name, "is not supported here, got ", shown(*value));
  }

 private:
  const Json& json_;
};

std::vector<int32_t> tokens_of(const Json& json, const std::string& field, const Tokenizer& tokenizer) {
  std::vector<int32_t> tokens;
  tokens.reserve(json.size());
  for (const Json& token : json) {
    if (!token.is_number_integer() || token < 0 || token >= tokenizer.size())
      refuse(field, "wanted tokens of 0 to ", tokenizer.size() - 1, ", got ", shown(token));
    tokens.push_back(token.get<int32_t>());
  }
  return tokens;
}

std::vector<int32_t> encoded(const Json& text, const Tokenizer& tokenizer) {
  if (!text.is_string()) refuse("prompt", "wanted a text, got ", shown(text));
  try {
    return tokenizer.encode(text.get_ref<const std::string&>(), Special::parse);
  } catch (const Error& e) {  // a vocabulary without this symbol
    refuse("prompt", e.what());
  }
}

/// A text or an array of tokens. An empty one is continued from the token that starts a text.
std::vector<int32_t> prompt_of(const Json& json, const Tokenizer& tokenizer) {
  const std::vector<int32_t> tokens =
      json.is_array() ? tokens_of(json, "prompt", tokenizer) : encoded(json, tokenizer);
  if (!tokens.empty()) return tokens;
  const std::optional<int32_t> start = tokenizer.bos() ? tokenizer.bos() : tokenizer.eos();
  if (!start) refuse("prompt", "is empty, and this model has no token that starts a text");
  return {*start};
}

std::vector<std::vector<int32_t>> prompts_of(const Json& json, const Tokenizer& tokenizer) {
  std::vector<std::vector<int32_t>> prompts;
  if (json.is_array() && !json.empty() && !json[0].is_number()) {
    for (const Json& prompt : json) prompts.push_back(prompt_of(prompt, tokenizer));
  } else {
    prompts.push_back(prompt_of(json, tokenizer));
  }
  return prompts;
}

std::vector<std::string> stops_of(const Json* json) {
  if (!json) return {};
  std::vector<std::string> stops;
  for (const Json& stop : json->is_array() ? *json : Json::array({*json})) {
    if (!stop.is_string() || stop.get_ref<const std::string&>().empty() ||
        stop.get_ref<const std::string&>().size() > kLongestStop)
      refuse("stop", "wanted texts of 1 to ", kLongestStop, " bytes, got ", shown(stop));
    stops.push_back(stop.get<std::string>());
  }
  if (stops.size() > kMostStops) refuse("stop", "wanted at most ", kMostStops, " texts, got ", stops.size());
  return stops;
}

ChoiceOptions choice_of(const Fields& fields) {
  constexpr int64_t most = std::numeric_limits<int32_t>::max();
  ChoiceOptions choice;
  choice.temperature = fields.number("temperature", 1, 0, 100);
  choice.top_p = fields.number("top_p", 1, 0, 1);
  choice.top_k = std::max<int64_t>(0, fields.integer("top_k", 0, -1, most));  // vLLM's -1: all tokens
  return choice;
}

/// The work must fit the server before it is let in: later it could only wait forever.
void check_size(const CompletionRequest& request, const EngineLimits& limits) {
  int64_t all = 0;
  for (const auto& prompt : request.prompts) {
    const int64_t tokens = int64_t(prompt.size());
    if (tokens > limits.prompt_tokens)
      refuse("prompt", "has ", tokens, " tokens, this server takes ", limits.prompt_tokens,
             " (--max-prompt)");
    all += request.n * (tokens + request.max_tokens);
  }
  if (all > limits.cache_tokens)
    refuse("prompt", "all prompts and answers may come to ", all, " tokens, this server takes ",
           limits.cache_tokens, " per request (--cache-tokens); send fewer prompts at once");
}

}  // namespace

nlohmann::json parse_body(const std::string& body) {
  const auto bounded = [](int depth, Json::parse_event_t, Json&) {
    if (depth > kDeepest) throw RequestError(400, concat("body: nested deeper than ", kDeepest));
    return true;
  };
  try {
    Json json = Json::parse(body, bounded);
    if (!json.is_object()) throw RequestError(400, concat("body: wanted a JSON object, got ", shown(json)));
    return json;
  } catch (const Json::exception& e) {
    const std::string what = e.what();  // "[json.exception.parse_error.101] parse error at line 1, ..."
    throw RequestError(400, "body: " + what.substr(std::min(what.size(), what.find(']') + 2)));
  }
}

CompletionRequest parse_completion(const std::string& body, const Tokenizer& tokenizer,
                                   const EngineLimits& limits) {
  const Json json = parse_body(body);
  const Fields fields(json);
  if (const Json* model = fields.find("model"); model && !model->is_string())
    refuse("model", "wanted a name, got ", shown(*model));
  CompletionRequest request;
  request.n = fields.integer("n", 1, 1, limits.concurrent);
  request.max_tokens = fields.integer("max_tokens", 16, 0, limits.max_tokens);
  request.choice = choice_of(fields);
  if (fields.find("seed"))
    request.seed = uint64_t(
        fields.integer("seed", 0, std::numeric_limits<int64_t>::min(), std::numeric_limits<int64_t>::max()));
  request.stop = stops_of(fields.find("stop"));
  request.echo = fields.flag("echo");
  if (fields.find("logprobs")) request.logprobs = fields.integer("logprobs", 0, 0, kMostLogProbs);
  request.stream = fields.flag("stream");
  if (const Json* options = fields.find("stream_options")) {
    if (!options->is_object()) refuse("stream_options", "wanted an object, got ", shown(*options));
    request.include_usage = Fields(*options).flag("include_usage");
  }
  fields.refuse_unless("best_of", {1, request.n});
  fields.refuse_unless("suffix", {""});
  fields.refuse_unless("presence_penalty", {0});
  fields.refuse_unless("frequency_penalty", {0});
  fields.refuse_unless("logit_bias", {Json::object()});
  request.prompts = prompts_of(fields.require("prompt"), tokenizer);
  check_size(request, limits);
  return request;
}

std::vector<int32_t> parse_tokenize(const std::string& body, const Tokenizer& tokenizer) {
  const Json json = parse_body(body);
  return encoded(Fields(json).require("prompt"), tokenizer);
}

std::vector<int32_t> parse_detokenize(const std::string& body, const Tokenizer& tokenizer) {
  const Json json = parse_body(body);
  const Json& tokens = Fields(json).require("tokens");
  if (!tokens.is_array()) refuse("tokens", "wanted an array of tokens, got ", shown(tokens));
  return tokens_of(tokens, "tokens", tokenizer);
}

}  // namespace rmoe::serve
