// A folder of shards: what `rmoe data prepare` made (it has a manifest), or the .bin files of llm.c or
// nanoGPT.
#pragma once

#include "data/shards/shard_file.hpp"
#include "data/tokenizer/tokenizer.hpp"

namespace rmoe {

struct ShardFolder {
  std::filesystem::path path;
  TokenizerPtr tokenizer;
  std::vector<ShardFile> splits[3];  // train, valid, test: shards in order
  std::string fingerprint;           // of the tokenizer and every shard's identity()

  Tokens tokens(int split) const;
};

/// Is it a folder with a manifest or .bin files?
bool is_shard_folder(const std::filesystem::path& path);

/// Opens the folder and checks every header. A foreign folder without a tokenizer of its own needs
/// `tokenizer`, the path of one; with "byte" or "word" it is refused.
ShardFolder open_shards(const std::filesystem::path& path, const std::string& tokenizer);

struct SplitStats {
  int64_t shards = 0, tokens = 0, bytes = 0;
  int64_t documents = 0, longest = 0;  // 0 in foreign files: nobody knows
};
SplitStats stats_of(const std::vector<ShardFile>& shards);

}  // namespace rmoe
