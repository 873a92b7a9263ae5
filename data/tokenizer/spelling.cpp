#include "data/tokenizer/spelling.hpp"

#include "data/tokenizer/unicode.hpp"
#include "engine/error.hpp"

#include <fmt/format.h>

namespace rmoe {
namespace {

constexpr std::string_view kSpaceMark = "\u2581";

bool spells_itself(int byte) {
  return (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
}

struct Alphabet {
  std::array<uint32_t, 256> code_of;      // of a byte
  std::array<int, 0x100 + 68> byte_of{};  // of a code; -1: spells nothing

  Alphabet() {
    byte_of.fill(-1);
    uint32_t next = 0x100;
    for (int byte = 0; byte < 256; ++byte) {
      code_of[byte] = spells_itself(byte) ? byte : next++;
      byte_of[code_of[byte]] = byte;
    }
  }
};

const Alphabet& alphabet() {
  static const Alphabet made;
  return made;
}

}  // namespace

std::string byte_piece(uint8_t byte) { return fmt::format("<0x{:02X}>", byte); }

std::optional<char> byte_of_piece(std::string_view piece) {
  if (piece.size() != 6) return {};
  const auto digit = [&](char c) { return c >= '0' && c <= '9' ? c - '0' : c - 'A' + 10; };
  const uint8_t byte = uint8_t(digit(piece[3]) * 16 + digit(piece[4]));
  return piece == byte_piece(byte) ? std::optional(char(byte)) : std::nullopt;
}

std::string with_spaces(std::string_view text) {
  std::string plain;
  for (size_t i = 0; i < text.size();) {
    const bool mark = text.substr(i).starts_with(kSpaceMark);
    plain += mark ? ' ' : text[i];
    i += mark ? kSpaceMark.size() : 1;
  }
  return plain;
}

std::string with_marks(std::string_view text) {
  std::string marked;
  for (const char c : text) {
    if (c == ' ')
      marked += kSpaceMark;
    else
      marked += c;
  }
  return marked;
}

std::string spell_bytes(std::string_view bytes) {
  std::string text;
  for (const char byte : bytes) {
    const uint32_t code = alphabet().code_of[uint8_t(byte)];
    if (code < 0x80) {
      text += char(code);
    } else {
      text += char(0xC0 | code >> 6);
      text += char(0x80 | (code & 0x3F));
    }
  }
  return text;
}

std::string unspell_bytes(std::string_view text) {
  std::string bytes;
  for (size_t i = 0; i < text.size();) {
    const unicode::Character c = unicode::decode(text, i);
    const int byte = c.code < alphabet().byte_of.size() ? alphabet().byte_of[c.code] : -1;
    if (!c.valid || byte < 0) return std::string(text);
    bytes += char(byte);
    i += c.bytes;
  }
  return bytes;
}

void check_byte_pieces(const BpeModel& model) {
  std::array<int, 256> count{};
  for (size_t id = 0; id < model.pieces.size(); ++id)
    if (model.kinds[id] == PieceKind::byte) ++count[uint8_t(model.pieces[id][0])];
  for (int byte = 0; byte < 256; ++byte)
    RMOE_CHECK(count[byte] == 1, "byte ", byte, " has ", count[byte], " pieces, wanted one");
}

SplitRule split_of_characters(const BpeModel& model) {
  const auto crosses = [](const std::string& piece) {
    const size_t word = piece.find_first_not_of(' ');
    return word != piece.npos && piece.find(' ', word) != piece.npos;
  };
  for (size_t id = 0; id < model.pieces.size(); ++id)
    if (model.kinds[id] == PieceKind::normal && crosses(model.pieces[id])) return SplitRule::none;
  return SplitRule::spaces;
}

}  // namespace rmoe
