#include "data/vocabulary.hpp"

#include "data/words.hpp"
#include "engine/error.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <utility>

namespace rmoe {
namespace {

constexpr std::string_view kEos = "<eos>";

void check_choice(const char* key, const std::string& value, std::initializer_list<const char*> choices) {
  if (std::find(choices.begin(), choices.end(), value) != choices.end()) return;
  throw UsageError(fmt::format("data.{} is \"{}\": wanted {}", key, value, fmt::join(choices, ", ")));
}

std::string place_of(std::string_view text, size_t offset) {
  const auto line = std::count(text.begin(), text.begin() + offset, '\n') + 1;
  const size_t newline = text.substr(0, offset).rfind('\n');
  return concat("line ", line, ", byte ", offset - (newline == text.npos ? 0 : newline + 1) + 1);
}

bool ends_line(std::string_view text, bool carriage_return_too) {
  return text.back() == '\n' || (carriage_return_too && text.back() == '\r');
}

}  // namespace

Vocabulary::Vocabulary(std::string tokens, std::string newline)
    : tokens_(std::move(tokens)), newline_(std::move(newline)) {
  check_choice("tokens", tokens_, {"byte", "word"});
  check_choice("newline", newline_, {"eos", "byte", "drop"});
  bytes_ = tokens_ == "byte";
  if (!bytes_) newline_ = "eos";
  byte_ids_.fill(-1);
}

int32_t Vocabulary::find(std::string_view symbol) const {
  if (bytes_ && symbol.size() == 1) return byte_ids_[uint8_t(symbol[0])];
  const auto found = ids_.find(symbol);
  return found == ids_.end() ? -1 : found->second;
}

int32_t Vocabulary::add(std::string_view symbol) {
  if (const int32_t known = find(symbol); known >= 0) return known;
  const int32_t id = int32_t(symbols_.size());
  symbols_.emplace_back(symbol);
  ids_.emplace(symbol, id);
  if (bytes_ && symbol.size() == 1) byte_ids_[uint8_t(symbol[0])] = id;
  return id;
}

/// id_of(symbol, offset) for every symbol of the text, in order.
template <class IdOf>
std::vector<int32_t> Vocabulary::tokens_of(std::string_view text, const IdOf& id_of) const {
  std::vector<int32_t> ids;
  if (!bytes_) {
    split_words(
        text, [&](size_t begin, size_t end) { ids.push_back(id_of(text.substr(begin, end - begin), begin)); },
        [&](size_t begin) { ids.push_back(id_of(kEos, begin)); });
    return ids;
  }
  ids.reserve(text.size() + 1);
  const bool plain = newline_ == "byte", drop = newline_ == "drop";
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\n' || plain) {
      ids.push_back(id_of(text.substr(i, 1), i));
    } else if (!drop) {
      ids.push_back(id_of(kEos, i));
    }
  }
  return ids;
}

std::vector<int32_t> Vocabulary::learn(std::string_view text) {
  std::vector<int32_t> ids = tokens_of(text, [&](std::string_view symbol, size_t offset) {
    const int32_t known = find(symbol);
    if (known >= 0) return known;
    RMOE_CHECK(bytes_ || is_utf8(symbol), "text is not UTF-8 at ", place_of(text, offset),
               ": words need UTF-8, data.tokens = \"byte\" takes anything");
    return add(symbol);
  });
  if (newline_ == "eos" && !text.empty() && !ends_line(text, !bytes_)) ids.push_back(add(kEos));
  return ids;
}

std::vector<int32_t> Vocabulary::encode(std::string_view text, Special) const {
  return tokens_of(text, [&](std::string_view symbol, size_t offset) {
    const int32_t id = find(symbol);
    if (id < 0) [[unlikely]] {
      const std::string what = bytes_ && symbol.size() == 1 ? fmt::format("byte 0x{:02X}", uint8_t(symbol[0]))
                                                            : fmt::format("word \"{}\"", symbol);
      fail("vocabulary: unknown ", what, " at ", place_of(text, offset), ": the training text has none, its ",
           size(), " symbols are all the model can read");
    }
    return id;
  });
}

const std::string& Vocabulary::symbol(int32_t token) const {
  RMOE_CHECK(token >= 0 && token < size(), "vocabulary: token ", token, " is not one of ", size());
  return symbols_[token];
}

std::string Vocabulary::decode(std::span<const int32_t> tokens) const {
  std::string text;
  for (const int32_t token : tokens) {
    const std::string& piece = symbol(token);
    if (piece == kEos) {
      text += '\n';
      continue;
    }
    if (!bytes_ && !text.empty() && text.back() != '\n') text += ' ';
    text += piece;
  }
  return text;
}

std::string Vocabulary::piece(int32_t token) const {
  const std::string& text = symbol(token);
  if (text == kEos) return "\n";
  return bytes_ ? text : " " + text;
}

std::optional<int32_t> Vocabulary::eos() const {
  const int32_t id = find(kEos);
  return id < 0 ? std::nullopt : std::optional(id);
}

std::string Vocabulary::name(int32_t token) const {
  const std::string& piece = symbol(token);
  if (!bytes_ || piece.size() != 1) return piece;
  const uint8_t byte = piece[0];
  return byte >= 0x20 && byte < 0x7F ? fmt::format("'{}'", char(byte)) : fmt::format("0x{:02X}", byte);
}

std::string Vocabulary::file_bytes() const {
  nlohmann::json symbols = nlohmann::json::array();
  for (const std::string& piece : symbols_) {
    if (bytes_ && piece.size() == 1) {
      symbols.push_back(uint8_t(piece[0]));
    } else {
      symbols.push_back(piece);
    }
  }
  const nlohmann::json json{{"tokens", tokens_}, {"newline", newline_}, {"symbols", std::move(symbols)}};
  return json.dump();
}

Vocabulary Vocabulary::parse(std::string_view text) {
  try {
    const nlohmann::json json = nlohmann::json::parse(text);
    Vocabulary vocabulary(json.at("tokens"), json.at("newline"));
    for (const auto& entry : json.at("symbols")) {
      const auto symbol =
          entry.is_number() ? std::string(1, char(entry.get<uint8_t>())) : entry.get<std::string>();
      const auto id = vocabulary.size();
      RMOE_CHECK(vocabulary.add(symbol) == id, "vocabulary: symbol ", id, " is there twice");
    }
    return vocabulary;
  } catch (const nlohmann::json::exception& problem) {
    fail("vocabulary: not the JSON it was saved as: ", problem.what());
  }
}

}  // namespace rmoe
