#include "data/corpus.hpp"
#include "train/checkpointed_model.hpp"
#include "train/command_options.hpp"
#include "train/commands.hpp"
#include "train/evaluate.hpp"
#include "train/progress.hpp"
#include "train/signals.hpp"

#include <fmt/core.h>
#include <nlohmann/json.hpp>

namespace rmoe {
namespace {

struct Options {
  std::string path, split = "test", data;
  bool exact = false, json = false;
  MachineOptions machine;
};

int run_eval(const Options& o) {
  o.machine.apply();
  CheckpointedModel opened = open_checkpoint(o.path);
  if (!o.data.empty()) opened.config.data.path = o.data;
  const Corpus corpus = load_corpus(opened.config.data);
  if (corpus.fingerprint != opened.data_fingerprint)
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
  CLI::App* command = app.add_subcommand("eval", "Loss, BPC and perplexity of a trained model");
  command->add_option("RUN", o->path, "run folder or checkpoint")->required();
  command->add_option("--split", o->split, "valid or test")->check(CLI::IsMember({"valid", "test"}));
  command->add_option("--data", o->data, "where the data is now, if it moved");
  command->add_flag(
      "--exact", o->exact,
      "one stream, every token but the first predicted once; without it the paper's protocol: whole "
      "blocks of train.eval_streams streams");
  command->add_flag("--json", o->json, "print JSON");
  o->machine.add_to(*command);
  command->callback([o, &run] { run = [o] { return run_eval(*o); }; });
}

}  // namespace rmoe
