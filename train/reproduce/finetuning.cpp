#include "train/reproduce/finetuning.hpp"

#include "data/sha256.hpp"
#include "engine/error.hpp"

#include <algorithm>
#include <filesystem>
#include <iterator>

namespace rmoe::reproduce {
namespace {

namespace fs = std::filesystem;

std::string or_else(const std::string& wanted, const std::string& usual) {
  return wanted.empty() ? usual : wanted;
}

void add(Sha256& sum, const Question& question) {
  const auto add_text = [&](const std::string& text) {
    const int64_t size = int64_t(text.size());
    sum.update(&size, sizeof size);
    sum.update(text.data(), text.size());
  };
  add_text(question.context);
  for (const std::string& choice : question.choices) add_text(choice);
  sum.update(&question.gold, sizeof question.gold);
}

std::vector<std::string> tuning_overrides(const Request& request) {
  std::vector<std::string> found;
  std::ranges::copy_if(request.overrides, std::back_inserter(found), is_of_tuning);
  if (!request.instructions.empty()) found.push_back("sft.data=" + request.instructions);
  return found;
}

Config load_tuning(const Request& request, const Config& base) {
  return load_config(or_else(request.finetune, scale_named(request.scale).finetune),
                     tuning_overrides(request), base);
}

}  // namespace

bool is_of_tuning(const std::string& text) { return text.starts_with("sft."); }

PlannedTasks plan_tasks(const PaperTable& table, const Request& request, const Text& text) {
  PlannedTasks planned;
  planned.options.folder = or_else(request.tasks, scale_named(request.scale).tasks);
  planned.options.max_length = text.medium.train.block;
  std::string names;
  for (const Column& column : table.columns)
    if (column.metric == Metric::task) names += (names.empty() ? "" : ",") + column.task;
  planned.tasks = find_tasks(names);
  Sha256 sum;
  for (const Task& task : planned.tasks) {
    const std::vector<Question> questions = load_questions(task, planned.options.folder);
    for (const Question& question : questions) {
      add(sum, question);
      for (const ScoreRequest& r : requests_of(question, *text.corpus.tokenizer, planned.options.max_length))
        planned.tokens += int64_t(r.tokens.size());
    }
    const auto n = int64_t(questions.size());
    planned.fewest = planned.fewest == 0 ? n : std::min(planned.fewest, n);
  }
  planned.fingerprint = sum.hex();
  return planned;
}

Examples plan_examples(const Request& request, const Text& text) {
  Config config = load_tuning(request, text.medium);
  if (config.sft.data.empty())
    throw UsageError(concat("reproduce: ", request.table,
                            " fine-tunes, and there are no instructions: name a "
                            "file with --instructions; \"rmoe data get alpaca\" fetches the paper's"));
  if (!fs::exists(config.sft.data))
    fail("reproduce: there are no instructions at ", config.sft.data,
         "; \"rmoe data get alpaca\" fetches the paper's, or name others with --instructions");
  return load_examples(config, text.corpus.tokenizer);
}

Config tuned_config(const Request& request, const Config& pretrained, Tuning tuning,
                    const Examples& examples) {
  Config base;
  base.model = pretrained.model;
  base.router = pretrained.router;
  base.data = pretrained.data;
  Config config = load_tuning(request, base);
  config.router.freeze = frozen_by(tuning);
  config.train.seed = pretrained.train.seed;
  fit_epochs(config, examples);
  return config;
}

int64_t tokens_of(std::span<const Example> examples) {
  int64_t sum = 0;
  for (const Example& example : examples) sum += int64_t(example.tokens.size());
  return sum;
}

}  // namespace rmoe::reproduce
