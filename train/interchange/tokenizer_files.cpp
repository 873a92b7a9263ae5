#include "train/interchange/tokenizer_files.hpp"

#include "data/tokenizer/bpe_tokenizer.hpp"
#include "data/tokenizer/hugging_face.hpp"
#include "data/tokenizer/spelling.hpp"

namespace rmoe::interchange {
namespace {

/// A vocabulary of bytes as byte-level BPE without merges: the same ids, <eos> being the newline it stands
/// for.
BpeTokenizer without_merges(const Tokenizer& bytes) {
  BpeModel model;
  for (int32_t token = 0; token < bytes.size(); ++token) {
    model.pieces.push_back(bytes.piece(token));
    model.names.push_back(spell_bytes(model.pieces.back()));
    model.kinds.push_back(PieceKind::normal);
  }
  model.eos = bytes.eos();
  return BpeTokenizer(std::move(model));
}

}  // namespace

std::string write_tokenizer(const files::Path& folder, const Tokenizer& tokenizer) {
  files::replace(folder / tokenizer.file_name(), tokenizer.file_bytes());
  if (tokenizer.is_byte_level())
    rmoe::export_hugging_face(without_merges(tokenizer), folder);
  else if (dynamic_cast<const BpeTokenizer*>(&tokenizer))
    rmoe::export_hugging_face(tokenizer, folder);
  else
    return tokenizer.file_name() + ": Transformers has no tokenizer of words; give it token ids";
  return {};
}

}  // namespace rmoe::interchange
