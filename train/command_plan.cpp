#include "train/command_options.hpp"
#include "train/commands.hpp"
#include "train/plan/report.hpp"

#include <fmt/core.h>
#include <nlohmann/json.hpp>

namespace rmoe {
namespace {

struct Options {
  ConfigOptions config;
  std::string gpu = "a100-80", dtype = "bf16", recompute = "lean";
  plan::Layout layout;
  int64_t expert_parallel = 0;  // 0: the config's
  bool ops = false, json = false;
};

plan::Recompute recompute_of(const std::string& name) {
  using plan::Recompute;
  for (const Recompute r : {Recompute::none, Recompute::experts, Recompute::layer})
    if (name == plan::name_of(r)) return r;
  return Recompute::lean;
}

int run_plan(const Options& o) {
  const Config config = o.config.load();
  RMOE_CHECK(config.model.vocab > 0,
             "plan: the config leaves the vocabulary to the data; add --set model.vocab=V");
  plan::Layout layout = o.layout;
  layout.gpu = &plan::find_gpu(o.gpu);
  layout.dtype = o.dtype == "bf16" ? DType::bf16 : DType::f32;
  layout.recompute = recompute_of(o.recompute);
  layout.expert_parallel = o.expert_parallel > 0 ? o.expert_parallel : config.train.expert_parallel;
  const plan::Plan p = plan::make_plan(config, layout);
  if (o.json)
    fmt::print("{}\n", plan::to_json(p, config).dump(2));
  else
    fmt::print("{}", plan::to_text(p, config, o.ops));
  if (p.fits()) return 0;
  const char* cure = p.largest_micro_batch > 0
                         ? "take a smaller --micro-batch"
                         : "try --zero 1, --recompute layer, more GPUs or --expert-parallel";
  fail("plan: micro-batch ", p.layout.micro_batch, " does not fit into a GPU's memory; ", cure);
}

}  // namespace

void add_plan(CLI::App& app, Action& run) {
  const auto o = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("plan", "Predict memory and time of training on GPUs, without one");
  o->config.add_to(*command);
  command->add_option("--gpus", o->layout.gpus, "how many")->check(CLI::PositiveNumber);
  command->add_option("--gpu", o->gpu, "a100-80, a100-40, h100-80 or h200-141");
  command
      ->add_option("--micro-batch", o->layout.micro_batch,
                   "streams per GPU at a time; default: the largest that fits")
      ->check(CLI::PositiveNumber);
  command->add_option("--zero", o->layout.zero, "1 cuts the optimizer's state among the GPUs")
      ->check(CLI::Range(0, 1));
  command
      ->add_option("--expert-parallel", o->expert_parallel,
                   "GPUs that share one set of experts; default: train.expert_parallel")
      ->check(CLI::PositiveNumber);
  command->add_option("--dtype", o->dtype, "of weights and activations")
      ->check(CLI::IsMember({"bf16", "f32"}));
  command
      ->add_option("--recompute", o->recompute,
                   "what backward computes again: none, lean (norms and gathers), experts or layer")
      ->check(CLI::IsMember({"none", "lean", "experts", "layer"}));
  command->add_flag("--ops", o->ops, "list every op");
  command->add_flag("--json", o->json, "print JSON");
  command->callback([o, &run] { run = [o] { return run_plan(*o); }; });
}

}  // namespace rmoe
