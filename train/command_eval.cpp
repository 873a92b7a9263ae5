#include "data/corpus.hpp"
#include "train/checkpointed_model.hpp"
#include "train/command_options.hpp"
#include "train/commands.hpp"
#include "train/evaluate.hpp"
#include "train/progress.hpp"
#include "train/signals.hpp"
#include "train/tasks/evaluate_tasks.hpp"

#include <fmt/core.h>
#include <nlohmann/json.hpp>

namespace rmoe {
namespace {

struct Options {
  std::string path, split = "test", data;
  bool exact = false, json = false;
  std::string tasks, samples;
  TaskOptions task{.folder = "corpora"};
  int64_t max_length = -1;
  MachineOptions machine;
};

/// A llama reads at most the block it was trained on unless told otherwise; lm has its own span.
int64_t max_length_of(const Options& o, const Config& config) {
  if (o.max_length >= 0) return o.max_length;
  return config.model.kind == "llama" ? config.train.block : 0;
}

int run_tasks(const Options& o) {
  const std::vector<Task> tasks = find_tasks(o.tasks);
  const CheckpointedModel opened = open_checkpoint(o.path);
  TaskOptions options = o.task;
  options.max_length = max_length_of(o, opened.config);
  watch_stop_signals();
  std::vector<TaskResult> results;
  {
    ProgressLine line(1);
    results = evaluate_tasks(*opened.model, *opened.tokenizer, tasks, options,
                             [&](const Task& task, int64_t done, int64_t all) {
                               line.count(task.name + " request", done, all);
                               return !stop_requested();
                             });
  }
  if (stop_requested()) return kInterrupted;
  if (!o.samples.empty()) {
    std::string lines;
    for (const TaskResult& result : results) lines += task_samples(result);
    files::replace(o.samples, lines);
  }
  if (!o.json) {
    fmt::print("{}, step {}, zero-shot, at most {} tokens\n{}", opened.path.string(), opened.step,
               options.max_length > 0 ? std::to_string(options.max_length) : "any number of",
               task_table(results));
    return 0;
  }
  nlohmann::ordered_json json = task_json(results);
  json["config"] = {{"model", opened.path.string()},
                    {"step", opened.step},
                    {"limit", options.limit > 0 ? nlohmann::json(options.limit) : nlohmann::json()},
                    {"max_length", options.max_length}};
  fmt::print("{}\n", json.dump());
  return 0;
}

int run_eval(const Options& o) {
  const Device device = o.machine.apply(o.tasks.empty() ? nullptr : "eval --tasks");
  if (!o.tasks.empty()) return run_tasks(o);
  CheckpointedModel opened = open_checkpoint(o.path, device);
  if (!o.data.empty()) opened.config.data.path = o.data;
  const Corpus corpus = load_corpus(opened.config.data);
  const bool imported = opened.data_fingerprint.empty();  // trained by another program, on we know not what
  if (!imported && corpus.fingerprint != opened.data_fingerprint)
    fail("eval: ", opened.config.data.path, " is not the data ", opened.path.string(), " was trained on");
  watch_stop_signals();
  ProgressLine line(1);
  const auto& tokens = o.split == "valid" ? corpus.valid : corpus.test;
  const TrainConfig& train = opened.config.train;
  const Tick tick = [&](int64_t done, int64_t all) {
    line.count(o.split + " block", done, all);
    return !stop_requested();
  };
  const Evaluation result = o.exact
                                ? evaluate_exact(*opened.model, tokens, train.block, tick)
                                : evaluate(*opened.model, tokens, train.eval_streams, train.block, -1, tick);
  if (stop_requested()) return kInterrupted;
  const char* protocol = o.exact ? "exact" : "original";
  if (o.json) {
    const nlohmann::ordered_json json{{"split", o.split},    {"protocol", protocol},
                                      {"loss", result.loss}, {"bpc", result.bpc()},
                                      {"ppl", result.ppl()}, {"tokens", result.tokens}};
    fmt::print("{}\n", json.dump());
  } else {
    fmt::print("{} ({}, step {}): loss {:.4f}  BPC {:.4f}  PPL {:.3f}  over {} tokens ({} protocol)\n",
               o.split, opened.path.string(), opened.step, result.loss, result.bpc(), result.ppl(),
               result.tokens, protocol);
  }
  return 0;
}

}  // namespace

void add_eval(CLI::App& app, Action& run) {
  const auto o = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("eval", "Loss, BPC and perplexity of a trained model, or its accuracy in tasks");
  command->add_option("RUN", o->path, "run folder or checkpoint")->required();
  command->add_option("--split", o->split, "valid or test")->check(CLI::IsMember({"valid", "test"}));
  command->add_option("--data", o->data, "where the data is now, if it moved");
  command->add_flag(
      "--exact", o->exact,
      "one stream, every token but the first predicted once; without it the paper's protocol: whole "
      "blocks of train.eval_streams streams");
  command->add_flag("--json", o->json, "print JSON");
  std::string known;
  for (const Task& task : all_tasks()) known += (known.empty() ? "" : ",") + task.name;
  CLI::Option* tasks =
      command->add_option("--tasks", o->tasks, "zero-shot tasks as lm-evaluation-harness has them: " + known);
  command->add_option("--tasks-dir", o->task.folder, "where their files are (train/tasks/README.md)")
      ->needs(tasks);
  command->add_option("--limit", o->task.limit, "only the first N questions of each task")
      ->needs(tasks)
      ->check(CLI::PositiveNumber);
  command
      ->add_option("--max-length", o->max_length,
                   "tokens the model reads at most, the last ones; 0: all; default: train.block of a llama")
      ->needs(tasks)
      ->check(CLI::NonNegativeNumber);
  command
      ->add_option("--samples", o->samples,
                   "write every request and its log-likelihood to this file (JSON lines)")
      ->needs(tasks);
  o->machine.add_to(*command);
  command->callback([o, &run] { run = [o] { return run_eval(*o); }; });
}

}  // namespace rmoe
