#include "train/serve/utf8.hpp"

namespace rmoe::serve {
namespace {

enum class Kind { valid, broken, unfinished };

struct Piece {
  size_t length;
  Kind kind;
};

/// The character, or the piece of one, that `text` (not empty) begins with: table 3-7 of the Unicode
/// standard.
Piece first_piece(std::string_view text) {
  const auto byte = [&](size_t i) { return uint8_t(text[i]); };
  const uint8_t lead = byte(0);
  if (lead < 0x80) return {1, Kind::valid};
  if (lead < 0xC2 || lead > 0xF4) return {1, Kind::broken};
  const size_t length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  for (size_t i = 1; i < length; ++i) {
    if (i == text.size()) return {i, Kind::unfinished};
    const uint8_t low = i > 1 ? 0x80 : lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
    const uint8_t high = i > 1 ? 0xBF : lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
    if (byte(i) < low || byte(i) > high) return {i, Kind::broken};
  }
  return {length, Kind::valid};
}

template <class F>
void for_each_piece(std::string_view bytes, F&& f) {
  while (!bytes.empty()) {
    const Piece piece = first_piece(bytes);
    f(bytes.substr(0, piece.length), piece.kind);
    bytes.remove_prefix(piece.length);
  }
}

}  // namespace

size_t complete_prefix(std::string_view bytes) {
  for (size_t back = 1; back <= 3 && back <= bytes.size(); ++back) {
    const std::string_view end = bytes.substr(bytes.size() - back);
    if ((uint8_t(end[0]) & 0xC0) == 0x80) continue;  // inside a character: its first byte is further back
    const Piece piece = first_piece(end);
    return piece.kind == Kind::unfinished && piece.length == back ? bytes.size() - back : bytes.size();
  }
  return bytes.size();
}

std::string repaired(std::string_view bytes) {
  std::string text;
  for_each_piece(bytes, [&](std::string_view piece, Kind kind) {
    text += kind == Kind::valid ? piece : std::string_view("\xEF\xBF\xBD");
  });
  return text;
}

int64_t code_points(std::string_view bytes) {
  int64_t count = 0;
  for_each_piece(bytes, [&](std::string_view, Kind) { ++count; });
  return count;
}

bool is_complete(std::string_view bytes) {
  bool valid = true;
  for_each_piece(bytes, [&](std::string_view, Kind kind) { valid = valid && kind == Kind::valid; });
  return valid;
}

}  // namespace rmoe::serve
