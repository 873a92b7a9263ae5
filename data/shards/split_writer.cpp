#include "data/shards/split_writer.hpp"

#include "engine/error.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace rmoe {
namespace {

namespace fs = std::filesystem;

constexpr size_t kBuffer = 1 << 18;  // tokens

}  // namespace

SplitWriter::SplitWriter(fs::path folder, int split, const ShardHeader& like, const SplitProgress& progress)
    : folder_(std::move(folder)),
      split_(split),
      like_(like),
      progress_(progress),
      published_(progress.shards) {
  while (published_ > 0 && !fs::exists(folder_ / shard_name(split_, published_ - 1))) --published_;
  publish();
  if (published_ > 0) files::remove(part("ends", published_ - 1));  // publishing may have been cut off there
  if (progress_.documents > 0) recover();
}

fs::path SplitWriter::part(const char* what, int64_t number) const {
  return folder_ / fmt::format(".{}.{}.part", fs::path(shard_name(split_, number)).stem().string(), what);
}

void SplitWriter::open() {
  tokens_file_.emplace(part("bin", progress_.shards));
  ends_file_.emplace(part("ends", progress_.shards));
  tokens_file_->cut(ShardHeader::kBytes);
}

/// Takes up the open shard as the manifest knows it; whatever was written after that is cut off.
void SplitWriter::recover() {
  const fs::path tokens = part("bin", progress_.shards), ends = part("ends", progress_.shards);
  {
    files::Reader reader(tokens);
    reader.skip(ShardHeader::kBytes);
    tokens_.resize(kBuffer);
    for (int64_t left = progress_.tokens; left > 0; left -= int64_t(tokens_.size())) {
      tokens_.resize(size_t(std::min(left, int64_t(kBuffer))));
      reader.read(tokens_.data(), int64_t(tokens_.size() * sizeof(int32_t)));
      payload_.update(tokens_.data(), tokens_.size() * sizeof(int32_t));
    }
    tokens_.clear();
  }
  ends_.resize(size_t(progress_.documents));
  files::Reader(ends).read(ends_.data(), int64_t(ends_.size() * sizeof(uint64_t)));
  written_ends_ = ends_.size();
  tokens_file_.emplace(tokens, files::Writer::Mode::update);
  ends_file_.emplace(ends, files::Writer::Mode::update);
  tokens_file_->cut(ShardHeader::kBytes + progress_.tokens * int64_t(sizeof(int32_t)));
  ends_file_->cut(int64_t(ends_.size() * sizeof(uint64_t)));
}

void SplitWriter::add(std::span<const std::vector<int32_t>> pieces, int32_t eos) {
  if (!tokens_file_) open();
  for (const std::vector<int32_t>& piece : pieces) {
    tokens_.insert(tokens_.end(), piece.begin(), piece.end());
    progress_.tokens += int64_t(piece.size());
  }
  tokens_.push_back(eos);
  ends_.push_back(uint64_t(++progress_.tokens));
  ++progress_.documents;
  if (tokens_.size() >= kBuffer) flush();
}

void SplitWriter::flush() {
  const int64_t bytes = int64_t(tokens_.size() * sizeof(int32_t));
  tokens_file_->write(tokens_.data(), bytes);
  payload_.update(tokens_.data(), size_t(bytes));
  tokens_.clear();
}

void SplitWriter::sync() {
  if (written_ends_ == ends_.size()) return;
  flush();
  ends_file_->write(ends_.data() + written_ends_, int64_t((ends_.size() - written_ends_) * sizeof(uint64_t)));
  written_ends_ = ends_.size();
  tokens_file_->sync();
  ends_file_->sync();
}

void SplitWriter::seal() {
  if (!tokens_file_) return;
  if (progress_.tokens % 2 != 0) tokens_.push_back(0);  // ends lie at multiples of 8 bytes
  flush();
  const int64_t bytes = int64_t(ends_.size() * sizeof(uint64_t));
  tokens_file_->write(ends_.data(), bytes);
  payload_.update(ends_.data(), size_t(bytes));
  ShardHeader header = like_;
  header.tokens = progress_.tokens;
  header.documents = progress_.documents;
  header.payload = payload_.bytes();
  const auto front = header.to_bytes();
  tokens_file_->seek(0);
  tokens_file_->write(front.data(), int64_t(front.size()));
  tokens_file_->sync();
  progress_.shard_tokens += std::exchange(progress_.tokens, 0);
  progress_.shard_documents += std::exchange(progress_.documents, 0);
  ++progress_.shards;
  tokens_file_.reset();
  ends_file_.reset();
  ends_.clear();
  written_ends_ = 0;
  payload_ = Sha256();
}

void SplitWriter::publish() {
  if (published_ == progress_.shards) return;
  for (; published_ < progress_.shards; ++published_) {
    files::rename(part("bin", published_), folder_ / shard_name(split_, published_));
    files::remove(part("ends", published_));
  }
  files::sync_folder(folder_);
}

}  // namespace rmoe
