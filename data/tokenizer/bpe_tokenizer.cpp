#include "data/tokenizer/bpe_tokenizer.hpp"

#include "data/tokenizer/unicode.hpp"
#include "engine/error.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace rmoe {
namespace {

constexpr uint32_t kSpaceMark = 0x2581;  // how SentencePiece writes a space

std::vector<AddedToken> matching(const std::vector<AddedToken>& tokens, Special special, bool normalized) {
  std::vector<AddedToken> chosen;
  for (const AddedToken& t : tokens)
    if (t.normalized == normalized && (special == Special::parse || !t.special)) chosen.push_back(t);
  return chosen;
}

}  // namespace

BpeTokenizer::BpeTokenizer(BpeModel model)
    : model_(std::move(model)), pairs_(model_.merges.size()), words_(model_.pieces.size()) {
  for (const MergeRule& rule : model_.merges) pairs_.set(rule.left, rule.right, rule.merge);
  for (const Special special : {Special::as_text, Special::parse}) {
    first_[int(special)] = AddedTokens(matching(model_.added, special, false));
    second_[int(special)] = AddedTokens(matching(model_.added, special, true));
  }
  index_symbols();
  index_whole_words();
}

void BpeTokenizer::index_symbols() {
  byte_ids_.fill(-1);
  const PieceKind byte_kind = model_.characters ? PieceKind::byte : PieceKind::normal;
  const auto add_character = [&](const std::string& piece, int32_t id) {
    const unicode::Character c = unicode::decode(piece, 0);
    if (!c.valid || c.bytes != piece.size()) return;
    if (c.code >= character_ids_.size()) character_ids_.resize(c.code + 1, -1);
    character_ids_[c.code] = id;
  };
  for (int32_t id = 0; id < size(); ++id) {
    const std::string& piece = model_.pieces[id];
    if (piece.size() == 1 && model_.kinds[id] == byte_kind) byte_ids_[uint8_t(piece[0])] = id;
    if (model_.characters && !piece.empty() && model_.kinds[id] == PieceKind::normal)
      add_character(piece, id);
  }
  for (size_t k = 0; k < model_.unwritten.size(); ++k)
    add_character(model_.unwritten[k], int32_t(size() + k));
}

/// Most words of a text are one token: these are found at once. A piece belongs to them if merging its
/// symbols gives it back, which is not certain.
void BpeTokenizer::index_whole_words() {
  WordTable found(model_.pieces.size());
  Work work;
  for (int32_t id = 0; id < size(); ++id) {
    const std::string& piece = model_.pieces[id];
    if (piece.empty() || model_.kinds[id] != PieceKind::normal) continue;
    if (!model_.whole_words) {
      work.tokens.clear();
      encode_word(piece, work);
      if (work.tokens != std::vector{id}) continue;
    }
    found.add(id, model_.pieces);
  }
  words_ = std::move(found);
}

int32_t BpeTokenizer::checked(int32_t token) const {
  RMOE_CHECK(token >= 0 && token < size(), "tokenizer: token ", token, " is not one of ", size());
  return token;
}

std::vector<int32_t> BpeTokenizer::encode(std::string_view text, Special special) const {
  RMOE_CHECK(text.size() < (size_t{1} << 31), "tokenizer: a text of ", text.size(),
             " bytes is too long for one piece: cut it below 2 GiB");
  Work work;
  const auto token = [&](int32_t id) { work.tokens.push_back(id); };
  const auto part = [&](std::string_view rest) {
    const bool lacks_space = model_.prefix == PrefixSpace::missing && !rest.starts_with(' ');
    encode_part(lacks_space ? " " + std::string(rest) : rest, work);
  };
  const auto text_between = [&](std::string_view rest) {
    const bool padded = model_.prefix == PrefixSpace::always;
    second_[int(special)].split(padded ? " " + std::string(rest) : rest, part, token);
  };
  first_[int(special)].split(text, text_between, token);
  return std::move(work.tokens);
}

void BpeTokenizer::encode_part(std::string_view text, Work& work) const {
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = word_end(model_.split, text, begin);
    encode_word(text.substr(begin, end - begin), work);
    begin = end;
  }
}

void BpeTokenizer::encode_word(std::string_view word, Work& work) const {
  if (const int32_t id = words_.find(word, model_.pieces); id >= 0) {
    work.tokens.push_back(id);
  } else if (model_.characters) {
    merge_characters(word, work);
  } else {
    merge_bytes(word, work);
  }
}

void BpeTokenizer::merge_bytes(std::string_view word, Work& work) const {
  work.symbols.clear();
  for (const char byte : word) {
    const int32_t id = byte_ids_[uint8_t(byte)];
    if (id < 0) [[unlikely]]
      fail(fmt::format("tokenizer: it has no token for byte 0x{:02X}", uint8_t(byte)));
    work.symbols.push_back(id);
  }
  flush_symbols(work);
}

/// A character that no piece contains takes part in no merge: what lies on both sides of it is merged apart.
void BpeTokenizer::merge_characters(std::string_view word, Work& work) const {
  work.symbols.clear();
  for (size_t i = 0; i < word.size();) {
    const unicode::Character c = unicode::decode(word, i);
    const int32_t symbol = c.valid ? symbol_of(c.code) : -1;
    if (symbol >= 0) {
      work.symbols.push_back(symbol);
    } else {
      flush_symbols(work);
      write_bytes(word.substr(i, c.bytes), work);
    }
    i += c.bytes;
  }
  flush_symbols(work);
}

int32_t BpeTokenizer::symbol_of(uint32_t code) const {
  if (code == kSpaceMark) [[unlikely]] {
    if (model_.keeps_u2581) return -1;
    code = ' ';
  }
  return code < character_ids_.size() ? character_ids_[code] : -1;
}

void BpeTokenizer::flush_symbols(Work& work) const {
  for (const int32_t symbol : work.merger.merge(pairs_, work.symbols)) {
    if (symbol < size()) {
      work.tokens.push_back(symbol);
    } else {
      write_bytes(model_.unwritten[symbol - size()], work);
    }
  }
  work.symbols.clear();
}

void BpeTokenizer::write_bytes(std::string_view bytes, Work& work) const {
  for (const char byte : bytes) work.tokens.push_back(byte_ids_[uint8_t(byte)]);
}

std::string BpeTokenizer::decode(std::span<const int32_t> tokens) const {
  std::string text;
  for (const int32_t token : tokens) text += model_.pieces[checked(token)];
  const bool has_prefix = model_.prefix == PrefixSpace::always && !tokens.empty() &&
                          model_.kinds[tokens[0]] == PieceKind::normal && text.starts_with(' ');
  return has_prefix ? text.substr(1) : text;
}

}  // namespace rmoe
