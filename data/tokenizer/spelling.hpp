// How files of tokenizers spell bytes and spaces, and checks that hold for both kinds of file.
#pragma once

#include "data/tokenizer/bpe_model.hpp"

namespace rmoe {

/// "<0x0A>", a byte piece, and back; any other text is no byte.
std::string byte_piece(uint8_t byte);
std::optional<char> byte_of_piece(std::string_view piece);

/// U+2581, SentencePiece's sign for a space, as the space it means, and back.
std::string with_spaces(std::string_view text);
std::string with_marks(std::string_view text);

/// Byte level: printable Latin-1 bytes are spelled as their character, the others as U+0100 and up in order.
std::string spell_bytes(std::string_view bytes);
/// The bytes a token of a byte-level vocabulary stands for: the text itself if it is not such a spelling.
std::string unspell_bytes(std::string_view text);

/// Every byte must have exactly one byte piece.
void check_byte_pieces(const BpeModel& model);

/// Words may end before spaces if no piece holds a space behind something else.
SplitRule split_of_characters(const BpeModel& model);

}  // namespace rmoe
