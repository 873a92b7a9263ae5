#include "train/interchange/weight_files.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <set>

namespace rmoe::interchange {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

using Shard = std::vector<NamedTensor>;

int64_t bytes_as(const NamedTensor& t, DType dtype) { return t.tensor.numel() * size_of(dtype); }

std::vector<Shard> cut(const std::vector<NamedTensor>& tensors, DType dtype, int64_t most_bytes) {
  std::vector<Shard> shards(1);
  int64_t bytes = 0;
  for (const NamedTensor& t : tensors) {
    const int64_t more = bytes_as(t, dtype);
    if (!shards.back().empty() && bytes + more > most_bytes) {
      shards.emplace_back();
      bytes = 0;
    }
    shards.back().push_back(t);
    bytes += more;
  }
  return shards;
}

/// Converts one shard at a time: a second copy of the whole model need not fit.
void write_shard(const fs::path& path, Shard shard, DType dtype) {
  for (NamedTensor& t : shard) t.tensor = to(t.tensor, dtype);
  write_safetensors(path, shard);
}

using Index = std::map<std::string, std::string>;  // tensor -> the file it lies in

Index parse_index(const std::string& text) {
  const json index = json::parse(text, nullptr, /*allow_exceptions=*/false);
  RMOE_CHECK(index.is_object() && index.contains("weight_map") && index["weight_map"].is_object(),
             "wanted a JSON object with a \"weight_map\"");
  Index result;
  for (const auto& [tensor, file] : index["weight_map"].items()) {
    const bool beside =
        file.is_string() && fs::path(file.get<std::string>()).filename() == file.get<std::string>();
    RMOE_CHECK(beside, "the file of '", tensor, "' is ", file.dump(),
               ", wanted the name of one beside the index");
    result[tensor] = file;
  }
  return result;
}

Index read_index(const fs::path& path) {
  try {
    return parse_index(files::read(path));
  } catch (const Error& error) {
    fail(path.string(), ": ", error.what());
  }
}

}  // namespace

std::vector<std::string> write_weights(const files::Path& folder, const std::vector<NamedTensor>& tensors,
                                       DType dtype, int64_t most_bytes) {
  std::vector<Shard> shards = cut(tensors, dtype, most_bytes);
  if (shards.size() == 1) {
    write_shard(folder / kWeights, std::move(shards[0]), dtype);
    return {kWeights};
  }
  nlohmann::ordered_json index{{"metadata", {{"total_size", 0}}}, {"weight_map", json::object()}};
  int64_t total = 0;
  std::vector<std::string> names;
  for (size_t i = 0; i < shards.size(); ++i) {
    const std::string name = fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, shards.size());
    for (const NamedTensor& t : shards[i]) {
      index["weight_map"][t.name] = name;
      total += bytes_as(t, dtype);
    }
    write_shard(folder / name, std::move(shards[i]), dtype);
    names.push_back(name);
  }
  index["metadata"]["total_size"] = total;
  files::replace(folder / kIndex, index.dump(2) + "\n");
  names.push_back(kIndex);
  return names;
}

WeightFiles::WeightFiles(const files::Path& folder) {
  if (fs::exists(folder / kIndex))
    add_shards(folder);
  else if (fs::exists(folder / kWeights))
    add(folder / kWeights);
  else
    fail(folder.string(), " holds neither ", kWeights, " nor ", kIndex);
}

void WeightFiles::add_shards(const files::Path& folder) {
  Index missing = read_index(folder / kIndex);
  std::set<std::string> shards;
  for (const auto& [tensor, file] : missing) shards.insert(file);
  for (const std::string& file : shards) {
    const size_t first = headers_.size();
    add(folder / file);
    for (size_t i = first; i < headers_.size(); ++i) {
      const auto place = missing.find(headers_[i].name);
      RMOE_CHECK(place != missing.end() && place->second == file, (folder / file).string(), " holds '",
                 headers_[i].name, "', which the index does not have there");
      missing.erase(place);
    }
  }
  for (const auto& [tensor, file] : missing)
    fail((folder / file).string(), " does not hold '", tensor, "', which the index has there");
}

void WeightFiles::add(const files::Path& file) {
  for (NamedTensor& t : read_safetensors(file, Device::meta).tensors) headers_.push_back(std::move(t));
  files_.push_back(file);
}

void WeightFiles::read(const std::function<void(const NamedTensor&)>& visit) const {
  for (const files::Path& file : files_)
    for (const NamedTensor& t : read_safetensors(file).tensors) visit(t);
}

}  // namespace rmoe::interchange
