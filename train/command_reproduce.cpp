#include "train/command_options.hpp"
#include "train/commands.hpp"
#include "train/reproduce/reproduce.hpp"
#include "train/signals.hpp"

#include <fmt/core.h>

namespace rmoe {
namespace {

struct Options {
  reproduce::Request request;
  bool dry_run = false;
  MachineOptions machine;
};

std::string table_and_scale_list() {
  std::string text = concat("TABLE is one of\n", reproduce::table_list(), "\n\nscales:\n");
  for (const reproduce::Scale& s : reproduce::scales())
    text += fmt::format("  {:<10}{}, {} seed{}\n", s.name, s.about, s.seeds, s.seeds == 1 ? "" : "s");
  return text;
}

int run_reproduce(const Options& o) {
  if (o.request.table.empty() || o.request.table == "list") {
    fmt::print("{}", table_and_scale_list());
    return 0;
  }
  o.machine.apply("reproduce");
  watch_stop_signals();
  if (reproduce::reproduce(o.request, o.dry_run) == reproduce::Ending::done) return 0;
  fmt::print("stopped, all is saved; the same command goes on\n");
  return kInterrupted;
}

}  // namespace

void add_reproduce(CLI::App& app, Action& run) {
  const auto o = std::make_shared<Options>();
  reproduce::Request& r = o->request;
  CLI::App* command = app.add_subcommand("reproduce", "Train what a table of the paper needs and fill it");
  command->add_option("TABLE", r.table, "see below; none, or list, prints the tables and scales");
  command->add_option("--scale", r.scale, "tiny, small or paper; default tiny");
  command->add_option(
      "--config", r.config,
      "TOML config of the medium model (table3, table7: of pre-training) instead of the scale's");
  command->add_option("--data", r.data, "text or shards to train on, instead of the config's");
  command->add_option("--tasks-dir", r.tasks, "files of the zero-shot tasks (table3, table7)");
  command->add_option("--sft", r.finetune, "TOML config of fine-tuning (table7) instead of the scale's");
  command->add_option("--instructions", r.instructions,
                      "examples to fine-tune on, in Alpaca's format (table7)");
  command->add_option("--steps", r.steps, "steps of every run that is not fine-tuning")
      ->check(CLI::PositiveNumber);
  command->add_option("--seeds", r.seeds, "seeds per router")->check(CLI::PositiveNumber);
  command->add_option("--routers", r.routers, "only these rows, e.g. smoe,rmoe")->delimiter(',');
  command
      ->add_option("--set", r.overrides,
                   "override a setting of the medium model, or sft.key of fine-tuning: section.key=value")
      ->type_name("A.B=V");
  command->add_option("--out", r.out, "folder of runs and tables; default runs/reproduce");
  command->add_flag("--dry-run", o->dry_run, "print what it would cost and stop");
  o->machine.add_to(*command);
  command->footer(table_and_scale_list());
  command->callback([o, &run] { run = [o] { return run_reproduce(*o); }; });
}

}  // namespace rmoe
