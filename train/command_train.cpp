#include "engine/comm/launch_ranks.hpp"
#include "train/checkpoint.hpp"
#include "train/command_options.hpp"
#include "train/commands.hpp"
#include "train/signals.hpp"
#include "train/trainer.hpp"

#include <fmt/core.h>

namespace rmoe {
namespace {

namespace fs = std::filesystem;

struct Options {
  ConfigOptions config;
  RunOptions run;
  int64_t steps = -1;
  MachineOptions machine;
  int nproc = 1;
};

fs::path default_run(const Options& o, const Config& config) {
  return fs::path("runs") / (fs::path(o.config.path).stem().string() + "-" + config.router.name);
}

int run_train(Options o) {
  o.run.device = o.machine.apply();
  if (o.steps >= 0) o.config.overrides.push_back(concat("train.steps=", o.steps));
  Config config = o.config.load();
  if (o.run.run.empty()) o.run.run = default_run(o, config);
  if (!o.run.resume && has_checkpoint(o.run.run))
    fail("train: ", o.run.run.string(),
         " already holds a run; add --resume to go on with it, or choose another --run");

  const Environment environment = process_environment();
  if (o.nproc > 1 && !started_by_launch_ranks(environment)) return launch_ranks(o.nproc);
  o.run.launch = launch_from_environment(environment);

  const Corpus corpus = load_corpus(config.data);
  fit_vocabulary(config, corpus);
  fs::create_directories(o.run.run);
  watch_stop_signals();
  const RunResult result = train(config, corpus, o.run);
  if (!result.is_first) return result.interrupted ? kInterrupted : 0;
  if (result.interrupted) {
    fmt::print("stopped at step {} of {}, saved; go on with --resume --run {}\n", result.step,
               config.train.steps, o.run.run.string());
    return kInterrupted;
  }
  if (result.valid.tokens == 0) {
    fmt::print("nothing to do: {} has finished its {} steps\n", o.run.run.string(), result.step);
    return 0;
  }
  fmt::print("done: {} steps, valid loss {:.4f}, {}, {:.0f} tokens/s; everything is in {}\n", result.step,
             result.valid.loss, result.valid.text(corpus.tokenizer->is_byte_level()), result.tokens_per_s,
             o.run.run.string());
  return 0;
}

}  // namespace

void add_train(CLI::App& app, Action& run) {
  const auto o = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("train", "Train a model; Ctrl-C saves and stops");
  o->config.add_to(*command);
  command->add_option("--steps", o->steps, "short for --set train.steps=N");
  command->add_option("--run", o->run.run, "run folder; default runs/CONFIG-ROUTER");
  command->add_flag("--resume", o->run.resume, "go on from the newest intact checkpoint, if there is one");
  command->add_option("--init", o->run.init, "start from these parameters (safetensors)");
  command
      ->add_option("--nproc", o->nproc,
                   "ranks on this machine, a GPU each; other launchers set RANK, WORLD_SIZE...")
      ->check(CLI::PositiveNumber);
  o->machine.add_to(*command);
  command->callback([o, &run] { run = [o] { return run_train(*o); }; });
}

}  // namespace rmoe
