#include "data/tokenizer/tokenizer.hpp"

#include "data/tokenizer/bpe_tokenizer.hpp"
#include "data/tokenizer/hugging_face.hpp"
#include "data/tokenizer/sentencepiece_model.hpp"
#include "data/tokenizer/tokenizer_json.hpp"
#include "data/vocabulary.hpp"
#include "engine/error.hpp"

#include <cerrno>
#include <cstring>
#include <fmt/format.h>
#include <fstream>
#include <nlohmann/json.hpp>

namespace rmoe {
namespace {

namespace fs = std::filesystem;

constexpr const char* kHuggingFace = "tokenizer.json";

struct Kind {
  const char* file_name;
  TokenizerPtr (*make)(std::string bytes);
};

/// In the order a folder is searched in.
constexpr Kind kKinds[] = {
    {"vocabulary.json",
     [](std::string bytes) -> TokenizerPtr {
       return std::make_shared<Vocabulary>(Vocabulary::parse(bytes));
     }},
    {"tokenizer.model",
     [](std::string bytes) -> TokenizerPtr {
       return std::make_shared<BpeTokenizer>(read_sentencepiece_model(std::move(bytes)));
     }},
    {kHuggingFace,
     [](std::string bytes) -> TokenizerPtr {
       return std::make_shared<BpeTokenizer>(read_tokenizer_json(std::move(bytes)));
     }},
};

std::string known_names() {
  std::vector<std::string> names;
  for (const Kind& kind : kKinds) names.emplace_back(kind.file_name);
  return fmt::format("{}", fmt::join(names, ", "));
}

std::string read_file(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  RMOE_CHECK(in, "tokenizer: cannot read ", path.string(), ": ", std::strerror(errno));
  return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace

TokenizerPtr make_tokenizer(const std::string& file_name, std::string bytes) {
  for (const Kind& kind : kKinds)
    if (file_name == kind.file_name) return kind.make(std::move(bytes));
  fail("tokenizer: ", file_name, " is not a kind of file that is known: wanted ", known_names());
}

TokenizerPtr load_tokenizer(const fs::path& path) {
  RMOE_CHECK(fs::exists(path), "tokenizer: no file or folder ", path.string());
  if (!fs::is_directory(path)) {
    const bool sentencepiece = path.extension() == ".model";
    return make_tokenizer(sentencepiece ? "tokenizer.model" : path.filename().string(), read_file(path));
  }
  for (const Kind& kind : kKinds) {
    if (!fs::exists(path / kind.file_name)) continue;
    if (kind.file_name == kHuggingFace) return open_hugging_face(path);
    return make_tokenizer(kind.file_name, read_file(path / kind.file_name));
  }
  fail("tokenizer: folder ", path.string(), " holds none of ", known_names());
}

}  // namespace rmoe
