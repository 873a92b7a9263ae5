#include "data/shards/shard_folder.hpp"

#include "data/shards/manifest.hpp"
#include "engine/error.hpp"

#include <algorithm>

namespace rmoe {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path> bin_files(const fs::path& folder) {
  std::vector<fs::path> paths;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const fs::path path = entry.path();
    if (path.extension() == ".bin" && !path.filename().string().starts_with('.')) paths.push_back(path);
  }
  std::ranges::sort(paths);
  return paths;
}

/// The split a foreign file's name speaks of: fineweb_val_000000.bin, train.bin.
int split_of(const fs::path& path) {
  const std::string name = path.filename().string();
  const auto has = [&](const char* word) { return name.find(word) != name.npos; };
  const bool found[3] = {has("train"), has("val"), has("test")};
  RMOE_CHECK(found[0] + found[1] + found[2] == 1, "data: ", path.string(),
             ": its name should have one of train, val and test in it");
  return found[0] ? 0 : found[1] ? 1 : 2;
}

void open_prepared(ShardFolder& folder, const Manifest& manifest) {
  RMOE_CHECK(manifest.complete, "data: ", folder.path.string(),
             " is not finished: start the same rmoe data prepare again, it goes on where it was");
  folder.tokenizer = load_tokenizer(folder.path / manifest.tokenizer);
  const std::string sum = sha256(folder.tokenizer->file_bytes());
  for (int split = 0; split < 3; ++split) {
    for (int64_t i = 0; i < manifest.splits[size_t(split)].shards; ++i) {
      const ShardFile& shard =
          folder.splits[split].emplace_back(folder.path / shard_name(split, i), folder.tokenizer->size());
      RMOE_CHECK(shard.header(), "data: ", shard.path().string(),
                 " is not the shard that the manifest speaks of");
      RMOE_CHECK(to_hex(shard.header()->tokenizer) == sum, "data: ", shard.path().string(),
                 " belongs to another tokenizer than ", manifest.tokenizer, " beside it");
    }
  }
}

void open_foreign(ShardFolder& folder, const std::string& tokenizer) {
  const bool none = tokenizer == "byte" || tokenizer == "word";
  try {
    folder.tokenizer = load_tokenizer(none ? folder.path : fs::path(tokenizer));
  } catch (const Error& error) {
    if (!none) throw;
    fail("data: ", folder.path.string(),
         " has shards but no tokenizer: set data.tokens to the path of theirs (", error.what(), ")");
  }
  for (const fs::path& path : bin_files(folder.path))
    folder.splits[split_of(path)].emplace_back(path, folder.tokenizer->size());
}

}  // namespace

Tokens ShardFolder::tokens(int split) const {
  Tokens all;
  for (const ShardFile& shard : splits[split]) all.append(shard.view());
  return all;
}

bool is_shard_folder(const fs::path& path) {
  return fs::is_directory(path) && (fs::exists(path / Manifest::kFile) || !bin_files(path).empty());
}

ShardFolder open_shards(const fs::path& path, const std::string& tokenizer) {
  ShardFolder folder;
  folder.path = path;
  if (const auto manifest = Manifest::load(path))
    open_prepared(folder, *manifest);
  else
    open_foreign(folder, tokenizer);
  std::string identity = sha256(folder.tokenizer->file_bytes());
  for (const auto& split : folder.splits) {
    identity += concat("\n", split.size());
    for (const ShardFile& shard : split) identity += "\n" + shard.identity();
  }
  folder.fingerprint = sha256(identity);
  return folder;
}

SplitStats stats_of(const std::vector<ShardFile>& shards) {
  SplitStats stats;
  for (const ShardFile& shard : shards) {
    ++stats.shards;
    stats.tokens += shard.tokens();
    stats.bytes += shard.bytes();
    stats.documents += int64_t(shard.document_ends().size());
    uint64_t before = 0;
    for (const uint64_t end : shard.document_ends())
      stats.longest = std::max(stats.longest, int64_t(end - std::exchange(before, end)));
  }
  return stats;
}

}  // namespace rmoe
