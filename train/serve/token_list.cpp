#include "train/serve/token_list.hpp"

#include "train/serve/utf8.hpp"

#include <fmt/core.h>

namespace rmoe::serve {
namespace {

using Json = nlohmann::ordered_json;

Json empty_lists() {
  return {{"tokens", Json::array()},
          {"token_logprobs", Json::array()},
          {"top_logprobs", Json::array()},
          {"text_offset", Json::array()}};
}

}  // namespace

std::string bytes_of(const Tokenizer& tokenizer, int32_t token, bool begins_text) {
  return begins_text ? tokenizer.decode(std::vector{token}) : tokenizer.piece(token);
}

std::string text_of(const Tokenizer& tokenizer, std::span<const int32_t> tokens) {
  std::string text;
  for (size_t i = 0; i < tokens.size(); ++i) text += bytes_of(tokenizer, tokens[i], i == 0);
  return text;
}

std::optional<int32_t> end_of_text(const Tokenizer& tokenizer) {
  const std::optional<int32_t> eos = tokenizer.eos();
  return eos && tokenizer.piece(*eos) != "\n" ? eos : std::nullopt;
}

TokenList::TokenList(const Tokenizer& tokenizer) : tokenizer_(tokenizer), json_(empty_lists()) {}

void TokenList::skip(std::span<const int32_t> tokens) {
  for (const int32_t token : tokens) advance(token);
}

void TokenList::add_first(int32_t token) { append(token, nullptr, nullptr); }

void TokenList::add(const TokenInfo& info) {
  Json top = Json::object();
  for (const auto& [token, log_prob] : info.top) {
    const std::string name = shown(token);
    top[top.contains(name) ? fmt::format("token_id:{}", token) : name] = log_prob;
  }
  append(info.token, info.log_prob, std::move(top));
}

void TokenList::append(int32_t token, Json log_prob, Json top) {
  json_["tokens"].push_back(shown(token));
  json_["token_logprobs"].push_back(std::move(log_prob));
  json_["top_logprobs"].push_back(std::move(top));
  json_["text_offset"].push_back(offset_);
  advance(token);
}

void TokenList::advance(int32_t token) {
  unfinished_ += bytes_of(tokenizer_, token, !begun_);
  begun_ = true;
  const size_t complete = complete_prefix(unfinished_);
  offset_ += code_points(std::string_view(unfinished_).substr(0, complete));
  unfinished_.erase(0, complete);
}

/// Half a character is shown as OpenAI shows it, bytes:\xe2\x82; a token without text by its name.
std::string TokenList::shown(int32_t token) const {
  const std::string bytes = bytes_of(tokenizer_, token, !begun_);
  if (bytes.empty()) return repaired(tokenizer_.name(token));
  if (is_complete(bytes)) return bytes;
  std::string text = "bytes:";
  for (const char byte : bytes) text += fmt::format("\\x{:02x}", uint8_t(byte));
  return text;
}

Json TokenList::take() { return std::exchange(json_, empty_lists()); }

}  // namespace rmoe::serve
