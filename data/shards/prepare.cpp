#include "data/shards/prepare.hpp"

#include "data/shards/encode.hpp"
#include "data/shards/split_writer.hpp"
#include "engine/error.hpp"
#include "engine/random.hpp"

#include <fcntl.h>
#include <future>
#include <sys/file.h>

namespace rmoe {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr size_t kRoundBytes = 16 << 20;  // of text that is read, then encoded, then written
constexpr size_t kRoundDocuments = 1 << 16;

/// Held while a folder is written to: two at once would spoil it.
class Lock {
 public:
  explicit Lock(const fs::path& folder) : folder_(folder, O_RDONLY | O_DIRECTORY, "read") {
    RMOE_CHECK(::flock(folder_.get(), LOCK_EX | LOCK_NB) == 0, "data: ", folder.string(),
               " is being written by another rmoe data prepare");
  }

 private:
  files::Descriptor folder_;
};

struct Round {
  std::vector<Document> documents;
  int64_t bytes_done = 0;  // of the input
};

Round read_round(DocumentReader& reader) {
  Round round;
  size_t bytes = 0;
  for (Document d; bytes < kRoundBytes && round.documents.size() < kRoundDocuments && reader.next(d);) {
    bytes += d.text.size();
    round.documents.push_back(std::move(d));
  }
  round.bytes_done = reader.bytes_done();
  return round;
}

const char* name_of(Documents documents) {
  return documents == Documents::file ? "file" : documents == Documents::line ? "line" : "blank_line";
}

json settings_of(const PrepareOptions& o, const std::vector<InputFile>& inputs, const Tokenizer& tokenizer) {
  json files = json::array();
  for (const InputFile& input : inputs)
    files.push_back({{"path", input.path.string()}, {"bytes", input.bytes}});
  return {{"inputs", files},
          {"field", o.field},
          {"documents", name_of(o.documents)},
          {"valid_share", o.valid_share},
          {"test_share", o.test_share},
          {"shard_tokens", o.shard_tokens},
          {"vocabulary", tokenizer.size()},
          {"tokenizer_sha256", sha256(tokenizer.file_bytes())}};
}

/// The first setting that differs, or nothing.
std::string difference(const json& a, const json& b) {
  for (const auto& [key, value] : a.items())
    if (!b.contains(key) || b[key] != value) return key;
  return {};
}

class Preparation {
 public:
  Preparation(const PrepareOptions& options, TokenizerPtr tokenizer);
  PrepareResult run(const std::function<bool(const PrepareProgress&)>& go_on);

 private:
  void take_up();
  void add(const Encoded& document);
  void commit();
  void finish();
  int split_of(uint64_t hash) const;

  const PrepareOptions& options_;
  TokenizerPtr tokenizer_;
  std::vector<InputFile> inputs_;
  std::optional<Lock> lock_;
  Manifest manifest_;
  std::vector<SplitWriter> splits_;
  int64_t tokens_ = 0, committed_ = 0;  // of this run
};

Preparation::Preparation(const PrepareOptions& options, TokenizerPtr tokenizer)
    : options_(options), tokenizer_(std::move(tokenizer)), inputs_(find_inputs(options.inputs)) {
  RMOE_CHECK(tokenizer_->eos(), "data: tokenizer ", tokenizer_->file_name(),
             " has no token that ends a text, so documents could not be told apart");
  files::make_folder(options_.out);
  lock_.emplace(options_.out);
  take_up();
  ShardHeader like;
  like.vocabulary = tokenizer_->size();
  like.tokenizer = sha256_bytes(tokenizer_->file_bytes());
  for (int i = 0; i < int(kSplits.size()); ++i)
    splits_.emplace_back(options_.out, i, like, manifest_.splits[size_t(i)]);
}

/// Goes on where an earlier run ended, if its manifest is there and was made with equal settings.
void Preparation::take_up() {
  const json settings = settings_of(options_, inputs_, *tokenizer_);
  if (auto earlier = Manifest::load(options_.out)) {
    const std::string changed = difference(settings, earlier->settings);
    RMOE_CHECK(changed.empty(), "data: ", options_.out.string(), " was begun with other settings (", changed,
               "): go on with those, name another --out, or remove it");
    manifest_ = std::move(*earlier);
    return;
  }
  for (const auto& entry : fs::directory_iterator(options_.out)) {
    const std::string name = entry.path().filename().string();
    RMOE_CHECK(name.starts_with('.') || name == tokenizer_->file_name(), "data: ", options_.out.string(),
               " holds other files already (", name, "): name another --out");
  }
  files::replace(options_.out / tokenizer_->file_name(), tokenizer_->file_bytes());
  manifest_.settings = settings;
  manifest_.tokenizer = tokenizer_->file_name();
  manifest_.save(options_.out);
}

int Preparation::split_of(uint64_t hash) const {
  const double draw = double(mix(hash, 0) >> 11) * 0x1p-53;
  if (draw < options_.valid_share) return 1;
  return draw < options_.valid_share + options_.test_share ? 2 : 0;
}

void Preparation::add(const Encoded& document) {
  manifest_.position = document.end;
  if (document.bytes == 0) return;
  SplitWriter& split = splits_[size_t(split_of(document.hash))];
  const int64_t before = split.tokens();
  split.add(document.pieces, *tokenizer_->eos());
  manifest_.bytes += document.bytes;
  tokens_ += split.tokens() - before;
  const bool full = split.tokens() >= options_.shard_tokens;
  if (full) split.seal();
  if (full || tokens_ - committed_ >= options_.commit_tokens) commit();
}

void Preparation::commit() {
  for (size_t i = 0; i < splits_.size(); ++i) {
    splits_[i].sync();
    manifest_.splits[i] = splits_[i].progress();
  }
  manifest_.save(options_.out);
  for (SplitWriter& split : splits_) split.publish();
  committed_ = tokens_;
}

void Preparation::finish() {
  const std::array<bool, 3> wanted{true, options_.valid_share > 0, options_.test_share > 0};
  int64_t documents = 0;
  for (const SplitWriter& s : splits_) documents += s.progress().documents + s.progress().shard_documents;
  for (size_t i = 0; i < splits_.size(); ++i) {
    const SplitProgress& progress = splits_[i].progress();
    RMOE_CHECK(!wanted[i] || progress.documents + progress.shard_documents > 0, "data: of ", documents,
               " documents none fell into the ", kSplits[i],
               " split: give more text, a larger share with --split, or smaller documents with --documents");
  }
  for (SplitWriter& split : splits_) split.seal();
  manifest_.complete = true;
  manifest_.position = {};
  commit();
}

PrepareResult Preparation::run(const std::function<bool(const PrepareProgress&)>& go_on) {
  if (manifest_.complete) return {true, 0};
  PrepareProgress progress;
  for (const InputFile& input : inputs_) progress.bytes += input.bytes;
  DocumentReader reader(inputs_, options_.documents, manifest_.position);
  const auto read = [&] { return read_round(reader); };
  for (auto ahead = std::async(std::launch::async, read);;) {  // the disk and the processors work at once
    Round round = ahead.get();
    if (round.documents.empty()) break;
    ahead = std::async(std::launch::async, read);
    for (const Encoded& document : encode(std::move(round.documents), *tokenizer_, options_.field, inputs_))
      add(document);
    progress.bytes_done = round.bytes_done;
    progress.tokens = tokens_;
    if (!go_on(progress)) {
      commit();
      return {false, tokens_};
    }
  }
  finish();
  return {true, tokens_};
}

}  // namespace

PrepareResult prepare(const PrepareOptions& options, TokenizerPtr tokenizer,
                      const std::function<bool(const PrepareProgress&)>& go_on) {
  return Preparation(options, std::move(tokenizer)).run(go_on);
}

TokenizerPtr byte_tokenizer() {
  json symbols = json::array();
  for (int byte = 0; byte < 256; ++byte) symbols.push_back(byte);
  symbols.push_back("<eos>");
  return make_tokenizer("vocabulary.json",
                        json{{"tokens", "byte"}, {"newline", "byte"}, {"symbols", symbols}}.dump());
}

}  // namespace rmoe
