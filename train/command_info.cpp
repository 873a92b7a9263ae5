#include "data/corpus.hpp"
#include "data/shards/shard_corpus.hpp"
#include "train/account.hpp"
#include "train/command_options.hpp"
#include "train/commands.hpp"
#include "train/step_memory.hpp"

#include <filesystem>
#include <fmt/core.h>
#include <nlohmann/json.hpp>

namespace rmoe {
namespace {

struct Options {
  ConfigOptions config;
  MachineOptions machine;
  int gpus = 1;
  bool list = false, json = false;
};

/// A config that leaves the vocabulary to the data gets it from there.
void resolve_vocabulary(Config& config) {
  if (config.model.vocab > 0) return;
  const bool there = std::filesystem::exists(config.data.path) || !shards_meant_by(config.data.path).empty();
  RMOE_CHECK(there, "info: the config takes its vocabulary from ", config.data.path,
             ", which does not exist; get the data, or add --set model.vocab=V");
  config.model.vocab = load_corpus(config.data).tokenizer->size();
}

nlohmann::ordered_json to_json(const Account& a) {
  const ParameterCounts& p = a.parameters;
  return {{"parameters",
           {{"total", p.total},
            {"trainable", p.trainable},
            {"frozen", p.total - p.trainable},
            {"embedding", p.embedding},
            {"router", p.router},
            {"active", p.active},
            {"non_embedding", p.non_embedding},
            {"active_non_embedding", p.active_non_embedding}}},
          {"flops_per_token", a.flops_per_token},
          {"memory_bytes",
           {{"parameters", a.parameter_bytes},
            {"gradients", a.gradient_bytes},
            {"optimizer", a.optimizer_bytes},
            {"memory", a.memory_bytes},
            {"activations", a.activation_bytes},
            {"peak", a.peak_bytes}}}};
}

double mib(int64_t bytes) { return double(bytes) / (1 << 20); }

void print(const Config& config, const Account& a) {
  const ParameterCounts& p = a.parameters;
  fmt::print("{} with router {}, vocabulary {}\n", config.model.kind, config.router.name, config.model.vocab);
  fmt::print("parameters     {:>14}   ({} trainable)\n", p.total, p.trainable);
  fmt::print("  embedding    {:>14}\n  router       {:>14}\n  active/token {:>14}\n", p.embedding, p.router,
             p.active);
  fmt::print("  without embedding and head {}, of them active {}\n", p.non_embedding, p.active_non_embedding);
  fmt::print("FLOPs/token    {:>14.4g}   (forward and backward, products only, none twice)\n",
             a.flops_per_token);
  fmt::print("memory of a step with {} streams of {} tokens in {} micro-batch(es):\n", config.train.batch,
             config.train.block, config.train.micro_batches);
  fmt::print("  parameters   {:>12.1f} MiB\n  gradients    {:>12.1f} MiB\n  optimizer    {:>12.1f} MiB\n",
             mib(a.parameter_bytes), mib(a.gradient_bytes), mib(a.optimizer_bytes));
  fmt::print("  memory       {:>12.1f} MiB\n  activations  {:>12.1f} MiB\n  peak         {:>12.1f} MiB\n",
             mib(a.memory_bytes), mib(a.activation_bytes), mib(a.peak_bytes));
}

nlohmann::ordered_json to_json(const StepMemory& m) { return {{"state", m.state}, {"peak", m.peak}}; }

void print(const Config& config, const StepMemory& m, int gpus) {
  fmt::print("memory of one of {} GPU(s), in {}, with kernels' work buffers and holes between tensors:\n",
             gpus, config.train.precision);
  fmt::print("  stays        {:>12.1f} MiB\n  peak         {:>12.1f} MiB\n", mib(m.state), mib(m.peak));
}

void list_parameters(const Config& config) {
  const Model model(config.model, config.router, 1, DType::f32, Device::meta);
  for (const Parameter& p : model.parameters())
    fmt::print("{:>14}  {:<16} {}\n", p.var.value().numel(), concat(p.var.shape()), p.name);
}

int run_info(const Options& o) {
  const bool on_gpu = o.machine.apply() == Device::cuda;
  Config config = o.config.load();
  resolve_vocabulary(config);
  const Account account = account_for(config);
  const StepMemory memory = on_gpu ? rehearse_step(config, 0, o.gpus) : StepMemory();
  if (o.json) {
    nlohmann::ordered_json json = to_json(account);
    if (on_gpu) json["memory_of_gpu"] = to_json(memory);
    fmt::print("{}\n", json.dump(2));
  } else {
    print(config, account);
    if (on_gpu) print(config, memory, o.gpus);
  }
  if (o.list) list_parameters(config);
  return 0;
}

}  // namespace

void add_info(CLI::App& app, Action& run) {
  const auto o = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("info", "Count parameters, FLOPs and memory of a config");
  o->config.add_to(*command);
  command->add_option("--gpus", o->gpus, "with --device cuda: ranks, of which one's memory is told")
      ->check(CLI::PositiveNumber);
  o->machine.add_to(*command);
  command->add_flag("--params", o->list, "list every parameter");
  command->add_flag("--json", o->json, "print JSON");
  command->callback([o, &run] { run = [o] { return run_info(*o); }; });
}

}  // namespace rmoe
