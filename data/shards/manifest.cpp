#include "data/shards/manifest.hpp"

#include "engine/error.hpp"
#include "engine/files.hpp"

#include <fmt/format.h>

namespace rmoe {

using nlohmann::json;

namespace {

json to_json(const SplitProgress& split) {
  return {{"shards", split.shards},
          {"shard_tokens", split.shard_tokens},
          {"shard_documents", split.shard_documents},
          {"tokens", split.tokens},
          {"documents", split.documents}};
}

SplitProgress split_of(const json& json) {
  return {json.at("shards"), json.at("shard_tokens"), json.at("shard_documents"), json.at("tokens"),
          json.at("documents")};
}

}  // namespace

std::string shard_name(int split, int64_t number) {
  return fmt::format("{}-{:05}.bin", kSplits[size_t(split)], number);
}

void Manifest::save(const std::filesystem::path& folder) const {
  json all{{"version", 1},           {"settings", settings},
           {"tokenizer", tokenizer}, {"position", {{"file", position.file}, {"offset", position.offset}}},
           {"bytes", bytes},         {"complete", complete}};
  for (size_t i = 0; i < splits.size(); ++i) all["splits"][kSplits[i]] = to_json(splits[i]);
  files::replace(folder / kFile, all.dump(1) + "\n");
}

std::optional<Manifest> Manifest::load(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / kFile;
  if (!std::filesystem::exists(path)) return {};
  try {
    const json all = json::parse(files::read(path));
    RMOE_CHECK(all.at("version") == 1, "data: ", path.string(), " is of version ", all.at("version").dump(),
               ", wanted 1: a newer rmoe may read it");
    Manifest manifest;
    manifest.settings = all.at("settings");
    manifest.tokenizer = all.at("tokenizer");
    manifest.position = {all.at("position").at("file"), all.at("position").at("offset")};
    manifest.bytes = all.at("bytes");
    manifest.complete = all.at("complete");
    for (size_t i = 0; i < manifest.splits.size(); ++i)
      manifest.splits[i] = split_of(all.at("splits").at(kSplits[i]));
    return manifest;
  } catch (const json::exception& error) {
    fail("data: ", path.string(), " is damaged: ", error.what());
  }
}

}  // namespace rmoe
