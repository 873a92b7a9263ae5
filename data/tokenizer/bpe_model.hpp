// What a byte-pair tokenizer consists of, whichever file it was read from: byte-level BPE (symbols are bytes)
// and SentencePiece's BPE (symbols are characters, the bytes of unknown ones stand in for them).
#pragma once

#include "data/tokenizer/added_tokens.hpp"
#include "data/tokenizer/pair_table.hpp"
#include "data/tokenizer/split.hpp"

#include <array>
#include <optional>
#include <vector>

namespace rmoe {

enum class PieceKind : uint8_t {
  normal,   // made by merges, or a single symbol
  byte,     // stands in for a byte of a character that is not among the symbols
  special,  // never made from text
};

/// A space that goes before a text that may have none, so that a first word looks like any other.
enum class PrefixSpace : uint8_t {
  none,
  always,   // before any text between special tokens (SentencePiece's dummy prefix)
  missing,  // where the text does not begin with one (byte level)
};

struct MergeRule {
  int32_t left, right;
  Merge merge;
};

struct BpeModel {
  std::vector<std::string> pieces;     // [V] the bytes of a token
  std::vector<std::string> names;      // [V] how its file spells it
  std::vector<PieceKind> kinds;        // [V]
  std::vector<std::string> unwritten;  // characters that occur in pieces but are none: symbols V, V+1, ...
  std::vector<MergeRule> merges;       // of a pair that is there twice the last one counts
  std::vector<AddedToken> added;
  bool characters = false;   // symbols are characters with byte pieces for the rest; else they are bytes
  bool whole_words = false;  // a word that is a piece needs no merges (tokenizer.json's ignore_merges)
  bool keeps_u2581 = true;   // U+2581 is a character of its own, not another way to write a space
  SplitRule split = SplitRule::none;
  PrefixSpace prefix = PrefixSpace::none;
  std::optional<int32_t> bos, eos, pad;
  std::string file_name, file_bytes;
};

}  // namespace rmoe
