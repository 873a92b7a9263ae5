// Tokenizer: text to token ids and back. Every kind (bytes and words seen in a text, SentencePiece,
// byte-level BPE) answers the same questions, so that corpora, samples, evaluation and the server do not ask
// which it is.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace rmoe {

/// What becomes of a special token that is written out in a text, "</s>" for example.
enum class Special { as_text, parse };

/// Immutable: threads may share one.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  virtual int64_t size() const = 0;
  /// Tokens of a text as it stands: nothing is put before or behind it.
  virtual std::vector<int32_t> encode(std::string_view text, Special special = Special::as_text) const = 0;
  /// The bytes that `tokens` stand for. A token that is not one of size() is an error.
  virtual std::string decode(std::span<const int32_t> tokens) const = 0;
  /// The bytes a token adds to a text that has begun; maybe a part of a character.
  virtual std::string piece(int32_t token) const = 0;
  /// One token for people to read.
  virtual std::string name(int32_t token) const = 0;
  /// One token per byte: bits per character mean something.
  virtual bool is_byte_level() const = 0;

  virtual std::optional<int32_t> bos() const { return {}; }  // begins a text
  virtual std::optional<int32_t> eos() const { return {}; }  // ends one
  virtual std::optional<int32_t> pad() const { return {}; }

  /// The file that a checkpoint keeps of it; make_tokenizer() makes an equal one of these.
  virtual std::string file_name() const = 0;
  virtual std::string file_bytes() const = 0;
};

using TokenizerPtr = std::shared_ptr<const Tokenizer>;

/// A tokenizer out of the content of a file; the name says of what kind: vocabulary.json, ...
TokenizerPtr make_tokenizer(const std::string& file_name, std::string bytes);

/// Opens a tokenizer's file, or a folder that holds one: a checkpoint, a prepared corpus.
TokenizerPtr load_tokenizer(const std::filesystem::path& path);

}  // namespace rmoe
