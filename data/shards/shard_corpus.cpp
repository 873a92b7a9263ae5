#include "data/shards/shard_corpus.hpp"

#include "data/shards/shard_folder.hpp"
#include "engine/error.hpp"

#include <charconv>
#include <cmath>

namespace rmoe {
namespace {

namespace fs = std::filesystem;

std::string_view trimmed(std::string_view text) {
  const size_t begin = text.find_first_not_of(' '), end = text.find_last_not_of(' ');
  return begin == text.npos ? std::string_view() : text.substr(begin, end + 1 - begin);
}

/// "DIR:WEIGHT"; an empty folder if it is none.
MixturePart parse_part(std::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == text.npos) return {};
  MixturePart part{std::string(text.substr(0, colon))};
  const auto [end, error] = std::from_chars(text.data() + colon + 1, text.data() + text.size(), part.weight);
  if (error != std::errc() || end != text.data() + text.size()) return {};
  return part;
}

}  // namespace

std::vector<MixturePart> shards_meant_by(const std::string& path) {
  if (is_shard_folder(path)) return {{path}};
  if (fs::exists(path)) return {};
  std::vector<MixturePart> parts;
  bool any = false, all = true;
  for (size_t begin = 0; begin <= path.size();) {
    const size_t end = std::min(path.find(',', begin), path.size());
    parts.push_back(parse_part(trimmed(std::string_view(path).substr(begin, end - begin))));
    any |= !parts.back().folder.empty();
    all &= !parts.back().folder.empty();
    begin = end + 1;
  }
  if (!any) return {};
  if (!all)
    throw UsageError(
        concat("data.path = \"", path, "\": wanted folders with weights, \"DIR:WEIGHT, DIR:WEIGHT\""));
  for (const MixturePart& part : parts)
    if (!std::isfinite(part.weight) || part.weight <= 0)
      throw UsageError(
          concat("data.path: the weight of ", part.folder, " is ", part.weight, ", wanted more than 0"));
  return parts;
}

Corpus load_shards(const std::vector<MixturePart>& parts, const DataConfig& config) {
  Corpus corpus;
  Sha256 fingerprint;
  for (const MixturePart& part : parts) {
    RMOE_CHECK(is_shard_folder(part.folder), "data: ", part.folder,
               fs::exists(part.folder) ? " is no folder of shards" : " does not exist",
               ": \"rmoe data prepare\" makes one");
    const ShardFolder folder = open_shards(part.folder, config.tokens);
    if (!corpus.tokenizer) corpus.tokenizer = folder.tokenizer;
    RMOE_CHECK(corpus.tokenizer->file_bytes() == folder.tokenizer->file_bytes(), "data: ", part.folder,
               " has another tokenizer than ", parts[0].folder, ": a mixture needs one for all");
    const Tokens train = folder.tokens(0);
    RMOE_CHECK(!train.empty(), "data: ", part.folder, " has no training tokens");
    corpus.sources.push_back({train, part.weight});
    corpus.train.append(train);
    corpus.valid.append(folder.tokens(1));
    corpus.test.append(folder.tokens(2));
    for (const auto& split : folder.splits)
      for (const ShardFile& shard : split) corpus.bytes += shard.bytes();
    fingerprint.update(folder.fingerprint.data(), folder.fingerprint.size());
    fingerprint.update(&part.weight, sizeof part.weight);
  }
  RMOE_CHECK(corpus.valid.size() >= 2, "data: ", config.path,
             " has no validation tokens: \"rmoe data prepare --split valid=0.005\" keeps some back");
  corpus.fingerprint = fingerprint.hex();
  return corpus;
}

}  // namespace rmoe
