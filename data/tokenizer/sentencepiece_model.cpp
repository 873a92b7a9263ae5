#include "data/tokenizer/sentencepiece_model.hpp"

#include "data/tokenizer/spelling.hpp"
#include "data/tokenizer/unicode.hpp"
#include "data/tokenizer/wire_format.hpp"
#include "data/words.hpp"
#include "engine/error.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <unordered_map>

namespace rmoe {
namespace {

constexpr size_t kLongestPiece = 512;  // its cuts are tried one by one

enum PieceType { kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kUnused = 5, kByte = 6 };

struct Piece {
  std::string text;
  float score = 0;
  uint64_t type = kNormal;
};

/// What of a ModelProto matters here, with its defaults.
struct Proto {
  std::vector<Piece> pieces;
  uint64_t model_type = 1, byte_fallback = 0, space_is_suffix = 0;
  int64_t bos = 1, eos = 2, pad = -1;
  std::string_view charsmap;
  uint64_t dummy_prefix = 1, trims_spaces = 1, escapes_spaces = 1;
};

Piece read_piece(std::string_view message) {
  Piece piece;
  WireField f;
  for (WireReader reader(message); reader.next(f);) {
    if (f.number == 1) piece.text = f.bytes;
    if (f.number == 2) piece.score = std::bit_cast<float>(uint32_t(f.value));
    if (f.number == 3) piece.type = f.value;
  }
  return piece;
}

void read_trainer(std::string_view message, Proto& proto) {
  WireField f;
  for (WireReader reader(message); reader.next(f);) {
    if (f.number == 3) proto.model_type = f.value;
    if (f.number == 24) proto.space_is_suffix = f.value;
    if (f.number == 35) proto.byte_fallback = f.value;
    if (f.number == 41) proto.bos = int32_t(f.value);
    if (f.number == 42) proto.eos = int32_t(f.value);
    if (f.number == 43) proto.pad = int32_t(f.value);
  }
}

void read_normalizer(std::string_view message, Proto& proto) {
  WireField f;
  for (WireReader reader(message); reader.next(f);) {
    if (f.number == 2) proto.charsmap = f.bytes;
    if (f.number == 3) proto.dummy_prefix = f.value;
    if (f.number == 4) proto.trims_spaces = f.value;
    if (f.number == 5) proto.escapes_spaces = f.value;
  }
}

Proto read_proto(std::string_view bytes) {
  Proto proto;
  WireField f;
  for (WireReader reader(bytes); reader.next(f);) {
    if (f.number == 1) proto.pieces.push_back(read_piece(f.bytes));
    if (f.number == 2) read_trainer(f.bytes, proto);
    if (f.number == 3) read_normalizer(f.bytes, proto);
  }
  return proto;
}

void check(const Proto& p) {
  RMOE_CHECK(!p.pieces.empty(), "it holds no pieces");
  RMOE_CHECK(p.model_type == 2, "only models of type BPE are read, this one has type ", p.model_type,
             " (1 is unigram)");
  RMOE_CHECK(p.byte_fallback != 0,
             "it was trained without --byte_fallback, so most text could not come back");
  RMOE_CHECK(
      p.charsmap.empty() && p.trims_spaces == 0,
      "it normalises text before it reads it; only models trained with --normalization_rule_name=identity "
      "--remove_extra_whitespaces=false are read");
  RMOE_CHECK(p.escapes_spaces != 0 && p.space_is_suffix == 0,
             "it treats spaces in a way that is not known here");
}

void add_piece(const Piece& piece, BpeModel& model) {
  const int32_t id = int32_t(model.pieces.size());
  RMOE_CHECK(!piece.text.empty() && is_utf8(piece.text), "piece ", id, " is empty or not UTF-8");
  RMOE_CHECK(piece.text.size() <= kLongestPiece, "piece ", id, " is longer than ", kLongestPiece, " bytes");
  RMOE_CHECK(std::isfinite(piece.score), "the score of piece ", id, " is not a number");
  RMOE_CHECK(piece.type >= kNormal && piece.type <= kByte && piece.type != kUnused, "piece ", id,
             " has type ", piece.type, ", which is not known here");
  const bool special = piece.type == kUnknown || piece.type == kControl;
  const bool byte = piece.type == kByte;
  const std::optional<char> value = byte_of_piece(piece.text);
  RMOE_CHECK(!byte || value, "the byte piece \"", piece.text, "\" is not spelled like <0x0A>");
  // Text holds no plain space when SentencePiece looks for pieces in it: such a piece is never found.
  const bool unreachable = !byte && !special && piece.text.find(' ') != piece.text.npos;
  model.names.push_back(piece.text);
  model.pieces.push_back(byte ? std::string(1, *value) : special ? piece.text : with_spaces(piece.text));
  model.kinds.push_back(byte                     ? PieceKind::byte
                        : special || unreachable ? PieceKind::special
                                                 : PieceKind::normal);
  if (special) model.added.push_back({id, piece.text});
  if (piece.type == kUserDefined && !unreachable)
    model.added.push_back({.id = id, .content = model.pieces.back(), .special = false, .normalized = true});
}

using Symbols = std::unordered_map<std::string_view, int32_t>;

/// Symbols are the pieces and the single characters in them.
Symbols collect_symbols(BpeModel& model) {
  Symbols symbols;
  std::vector<std::string_view> characters;
  for (size_t id = 0; id < model.pieces.size(); ++id) {
    if (model.kinds[id] != PieceKind::normal) continue;
    const std::string_view piece = model.pieces[id];
    RMOE_CHECK(symbols.emplace(piece, int32_t(id)).second, "piece \"", model.names[id], "\" is there twice");
    for (size_t i = 0; i < piece.size(); i += characters.back().size())
      characters.push_back(piece.substr(i, unicode::decode(piece, i).bytes));
  }
  for (const std::string_view c : characters) {
    const auto [place, is_new] = symbols.emplace(c, int32_t(model.pieces.size() + model.unwritten.size()));
    if (is_new) model.unwritten.emplace_back(c);
  }
  return symbols;
}

/// A piece is made from any two symbols that spell it, in the order of the pieces' scores.
void add_merges(const std::vector<Piece>& pieces, BpeModel& model) {
  const Symbols symbols = collect_symbols(model);
  std::vector<int32_t> order;
  for (size_t id = 0; id < pieces.size(); ++id)
    if (model.kinds[id] == PieceKind::normal) order.push_back(int32_t(id));
  std::stable_sort(order.begin(), order.end(),
                   [&](int32_t a, int32_t b) { return pieces[a].score > pieces[b].score; });
  int32_t rank = -1;
  float last = 0;
  for (const int32_t id : order) {
    if (rank < 0 || pieces[id].score != last) ++rank;
    last = pieces[id].score;
    const std::string_view piece = model.pieces[id];
    for (size_t cut = unicode::decode(piece, 0).bytes; cut < piece.size();
         cut += unicode::decode(piece, cut).bytes) {
      const auto left = symbols.find(piece.substr(0, cut)), right = symbols.find(piece.substr(cut));
      if (left != symbols.end() && right != symbols.end())
        model.merges.push_back({left->second, right->second, {rank, id}});
    }
  }
}

std::optional<int32_t> control(const Proto& proto, int64_t id) {
  if (id < 0 || id >= int64_t(proto.pieces.size()) || proto.pieces[id].type != kControl) return {};
  return int32_t(id);
}

BpeModel convert(const Proto& proto) {
  check(proto);
  BpeModel model;
  model.characters = true;
  for (const Piece& piece : proto.pieces) add_piece(piece, model);
  check_byte_pieces(model);
  add_merges(proto.pieces, model);
  model.split = split_of_characters(model);
  model.prefix = proto.dummy_prefix != 0 ? PrefixSpace::always : PrefixSpace::none;
  model.keeps_u2581 = proto.dummy_prefix == 0;
  model.bos = control(proto, proto.bos);
  model.eos = control(proto, proto.eos);
  model.pad = control(proto, proto.pad);
  return model;
}

}  // namespace

BpeModel read_sentencepiece_model(std::string bytes) {
  try {
    BpeModel model = convert(read_proto(bytes));
    model.file_name = "tokenizer.model";
    model.file_bytes = std::move(bytes);
    return model;
  } catch (const Error& problem) {
    fail("tokenizer.model: ", problem.what());
  }
}

}  // namespace rmoe
