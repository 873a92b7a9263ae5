#include "tests/toy_run.hpp"

#include "engine/error.hpp"
#include "engine/random.hpp"

#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

namespace rmoe::test {
namespace {

constexpr const char* kToyConfig = R"([model]
kind = "lm"
layers = 2
hidden = 24
heads = 3
span = 24
experts = 5
top_k = 2
expert_hidden = 20
dropout = 0.1

[router]
name = "rmoe"
state = 12

[data]
path = "toy.txt"

[train]
steps = 20
batch = 4
block = 16
eval_every = 10
eval_blocks = 4
eval_streams = 2
log_every = 1
seed = 7

[optimizer]
lr = 3e-3
warmup = 5
)";

constexpr const char* kSftConfig = R"([train]
batch = 4
block = 240
micro_batches = 2
eval_every = 4
log_every = 1
analyze_every = 0
[optimizer]
name = "adamw"
lr = 1e-2
warmup_ratio = 0.1
schedule = "cosine"
)";

}  // namespace

void make_toy(const TestFolder& folder) {
  const std::vector<std::string> words = {"a",     "router",  "that",  "remembers", "the",   "layers",
                                          "below", "it",      "sends", "every",     "token", "to",
                                          "two",   "experts", "of",    "five"};
  std::string text;
  for (int i = 0; i < 3000; ++i) {
    text += words[size_t(uniform_at(1, 2, i) * float(words.size()))];
    text += i % 9 == 8 ? '\n' : ' ';
  }
  write_text(folder / "toy.txt", text);
  write_text(folder / "toy.toml", kToyConfig);
}

void make_instructions(const TestFolder& folder) {
  std::set<std::filesystem::path> files;  // in order: the system lists them in any
  for (const auto& entry : std::filesystem::directory_iterator(toy_tasks())) files.insert(entry.path());
  std::string text;
  for (const auto& file : files) text += read_text(file);
  for (const char* word : {"red", "green", "blue", "seven"})
    text += concat(
        "Below is an instruction that describes a task, paired with an input that provides further "
        "context. Write a response that appropriately completes the request.\n\n### Instruction:\nRepeat "
        "the word.\n\n### Input:\n",
        word, "\n\n### Response:", word, "\n");
  for (int c = 0; c < 256; ++c)
    if (c != 0) text += char(c);
  make_toy(folder);
  write_text(folder / "toy.txt", text + text + text);
  write_text(folder / "sft.toml", kSftConfig);
  nlohmann::json records = nlohmann::json::array();
  for (const char* word : {"red", "green", "blue", "seven", "one", "two", "three", "four", "five", "six"})
    records.push_back({{"instruction", "Repeat the word."}, {"input", word}, {"output", word}});
  write_text(folder / "words.json", records.dump());
}

std::string toy_tasks() { return RMOE_SOURCE_DIR "/tests/golden/tasks/hub"; }

const std::vector<std::string> kToyLlama{"--set", "model.kind=llama", "--set", "model.dropout=0",
                                         "--set", "train.block=64"};

std::vector<std::string> train_toy(const std::string& run, std::vector<std::string> extra) {
  std::vector<std::string> args{"train", "toy.toml", "--run", run};
  args.insert(args.end(), extra.begin(), extra.end());
  return args;
}

std::vector<std::string> metric(const std::filesystem::path& run, const std::string& key) {
  std::vector<std::string> values;
  std::istringstream lines(read_text(run / "metrics.jsonl"));
  const std::string mark = "\"" + key + "\":";
  for (std::string line; std::getline(lines, line);) {
    const size_t at = line.find(mark);
    if (at == line.npos) continue;
    const size_t begin = line.find_first_not_of(' ', at + mark.size());
    values.push_back(line.substr(begin, line.find_first_of(",}", begin) - begin));
  }
  return values;
}

nlohmann::json read_json(const std::filesystem::path& path) { return nlohmann::json::parse(read_text(path)); }

nlohmann::json repeatable(const std::filesystem::path& path) {
  nlohmann::json found = read_json(path);
  found.erase("measured");
  return found;
}

}  // namespace rmoe::test
