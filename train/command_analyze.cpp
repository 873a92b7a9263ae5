#include "data/corpus.hpp"
#include "engine/files.hpp"
#include "train/analysis/report_page.hpp"
#include "train/checkpointed_model.hpp"
#include "train/command_options.hpp"
#include "train/commands.hpp"
#include "train/progress.hpp"
#include "train/signals.hpp"

#include <fmt/core.h>

namespace rmoe {
namespace {

struct Options {
  std::vector<std::string> runs;
  std::string split = "test", data, out;
  int64_t blocks = 0, gradient_blocks = 8;
  bool json = false;
  MachineOptions machine;
};

/// The corpus a run was trained on. Runs on equal data read it once.
const Corpus& corpus_of(const CheckpointedModel& opened, const std::string& moved_to,
                        std::optional<Corpus>& loaded) {
  if (loaded && loaded->fingerprint == opened.data_fingerprint) return *loaded;
  DataConfig data = opened.config.data;
  if (!moved_to.empty()) data.path = moved_to;
  loaded = load_corpus(data);
  if (loaded->fingerprint != opened.data_fingerprint)
    fail("analyze: ", data.path, " is not the data ", opened.path.string(),
         " was trained on; say where that is with --data PATH");
  return *loaded;
}

Analysis analyze_run(const std::string& run, const Options& o, std::optional<Corpus>& loaded,
                     ProgressLine& line) {
  const CheckpointedModel opened = open_checkpoint(run);
  const Corpus& corpus = corpus_of(opened, o.data, loaded);
  const TrainConfig& train = opened.config.train;
  const auto tick = [&](int64_t done, int64_t all) {
    line.count(fmt::format("{}: {} block", run, o.split), done, all);
    return !stop_requested();
  };
  Analysis analysis = analyze(*opened.model, o.split == "valid" ? corpus.valid : corpus.test,
                              {.streams = train.eval_streams,
                               .block = train.block,
                               .blocks = o.blocks,
                               .gradient_blocks = o.gradient_blocks,
                               .tick = tick});
  analysis.run = run;
  analysis.split = o.split;
  analysis.step = opened.step;
  return analysis;
}

void print_table(const std::vector<Analysis>& analyses) {
  fmt::print("{:<24} {:<20} {:>8} {:>10} {:>8} {:>8} {:>9} {:>7} {:>8} {:>10} {:>10} {:>10}\n", "run",
             "router", "step", "tokens", "MI", "entropy", "inner", "outer", "similar", "grad", "grad LM",
             "grad bal.");
  for (const Analysis& a : analyses) {
    const GradientNorms& g = a.router_gradients.all;
    fmt::print(
        "{:<24} {:<20} {:>8} {:>10} {:>8.4f} {:>8.4f} {:>9.3f} {:>7.3f} {:>8.4f} {:>10.3e} {:>10.3e} "
        "{:>10.3e}\n",
        a.run, a.router, a.step, a.tokens, a.mean_mutual_information(), a.mean_entropy(), a.balance.inner,
        a.balance.outer, a.expert_similarity.mean, g.total, g.lm, g.balance);
  }
}

int run_analyze(const Options& o) {
  o.machine.apply("analyze");
  watch_stop_signals();
  const std::filesystem::path out = o.out;
  if (out.has_parent_path()) files::make_folder(out.parent_path());
  // Whatever is wrong with the last run should not come out after hours with the first.
  for (const std::string& run : o.runs) check_analyzable(*open_checkpoint(run).model, run);
  std::vector<Analysis> analyses;
  {
    ProgressLine line(1);
    std::optional<Corpus> loaded;
    for (const std::string& run : o.runs) {
      analyses.push_back(analyze_run(run, o, loaded, line));
      if (stop_requested()) return kInterrupted;
    }
  }
  if (!o.out.empty()) files::replace(out, report_page(analyses));
  if (!o.json) print_table(analyses);
  for (const Analysis& a : analyses)
    if (o.json) fmt::print("{}\n", to_json(a).dump());
  return 0;
}

}  // namespace

void add_analyze(CLI::App& app, Action& run) {
  const auto o = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("analyze", "What the routers and experts of trained models do");
  command->add_option("RUN", o->runs, "run folders or checkpoints, compared side by side")->required();
  command->add_option("--split", o->split, "valid or test")->check(CLI::IsMember({"valid", "test"}));
  command->add_option("--data", o->data, "where the data is now, if it moved");
  command->add_option("--blocks", o->blocks, "blocks of the split to read; default: all")
      ->check(CLI::PositiveNumber);
  command->add_option("--gradient-blocks", o->gradient_blocks, "blocks for the router gradients")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->add_option("--out", o->out, "write a report with figures here, as one HTML page");
  command->add_flag("--json", o->json, "print JSON, one object per run and line");
  o->machine.add_to(*command);
  command->callback([o, &run] { run = [o] { return run_analyze(*o); }; });
}

}  // namespace rmoe
