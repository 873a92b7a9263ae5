// Tokenizers and texts that the tests of this folder share: see tools/make_tokenizer_golden.py.
#pragma once

#include "data/tokenizer/bpe_tokenizer.hpp"
#include "data/tokenizer/tokenizer.hpp"
#include "engine/files.hpp"
#include "tests/folder.hpp"

#include <nlohmann/json.hpp>

namespace rmoe::test {

using Ids = std::vector<int32_t>;

inline std::filesystem::path tokenizer_golden(const std::string& name) {
  return std::filesystem::path(RMOE_SOURCE_DIR) / "tests/golden/tokenizer" / name;
}

inline std::string golden_bytes(const std::string& name) { return files::read(tokenizer_golden(name)); }

/// Every byte, broken characters of every kind, and a zero.
inline std::string broken_text() {
  std::string text = "\xC3 \xE2\x82 \xF0\x9F\x98 \xC0\xAF \xED\xA0\x80 \xF4\x90\x80\x80 \xFE\xFF ok";
  for (int byte = 0; byte < 256; ++byte) text += char(byte);
  return text + golden_bytes("nasty.txt");
}

inline const BpeModel& model_of(const TokenizerPtr& tokenizer) {
  return dynamic_cast<const BpeTokenizer&>(*tokenizer).model();
}

inline std::vector<std::string> pieces_of(const Tokenizer& tokenizer, std::string_view text,
                                          Special special = Special::as_text) {
  std::vector<std::string> pieces;
  for (const int32_t id : tokenizer.encode(text, special)) pieces.push_back(tokenizer.piece(id));
  return pieces;
}

}  // namespace rmoe::test
