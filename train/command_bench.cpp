#include "train/bench/bench.hpp"
#include "train/commands.hpp"

namespace rmoe {
namespace {

void add_model_options(CLI::App& command, BenchOptions& o) {
  command.add_option("CONFIGS", o.configs, "configs to measure")->required();
  command.add_option("--routers", o.routers, "routers to measure")->delimiter(',');
  command.add_option("--set", o.overrides, "override a setting: section.key=value")->type_name("A.B=V");
  command.add_option("--batch", o.batch, "streams")->check(CLI::PositiveNumber);
  command.add_option("--block", o.block, "tokens of each stream")->check(CLI::PositiveNumber);
  command.add_option("--steps", o.steps, "steps to time")->check(CLI::PositiveNumber);
}

}  // namespace

void add_bench(CLI::App& app, Action& run) {
  CLI::App* bench = app.add_subcommand("bench", "Measure speed against this machine's peak");
  bench->require_subcommand(1);
  const auto add = [&](const char* name, const char* what, int (*measure)(const BenchOptions&),
                       bool of_models) {
    const auto o = std::make_shared<BenchOptions>();
    CLI::App* command = bench->add_subcommand(name, what);
    if (of_models) add_model_options(*command, *o);
    command->add_flag("--json", o->json, "print one JSON object per line");
    o->machine.add_to(*command);
    command->callback([o, measure, &run] { run = [o, measure] { return measure(*o); }; });
  };
  add("step", "Whole training steps", bench_steps, true);
  add("ops", "Training steps op by op, each beside its roofline", bench_ops, true);
  add("gemm", "Matrix products of the models' sizes", bench_gemm, false);
}

}  // namespace rmoe
