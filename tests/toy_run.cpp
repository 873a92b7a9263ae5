#include "tests/toy_run.hpp"

#include "engine/random.hpp"

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

}  // namespace rmoe::test
