#include "train/checkpointed_model.hpp"
#include "train/command_options.hpp"
#include "train/commands.hpp"
#include "train/trace.hpp"
#include "train/weights.hpp"

#include <filesystem>
#include <fmt/core.h>

namespace rmoe {
namespace {

struct Options {
  ConfigOptions config;
  std::string weights, tokens, out;
  MachineOptions machine;
};

std::unique_ptr<Model> open_model(const Options& o, Device device) {
  if (std::filesystem::is_directory(o.config.path))
    return std::move(open_checkpoint(o.config.path, device).model);
  const Config config = o.config.load();
  RMOE_CHECK(config.model.vocab > 0,
             "trace: the config leaves the vocabulary to the data; add --set model.vocab=V");
  return std::make_unique<Model>(config.model, config.router, config.train.seed, DType::f32, device);
}

Tensor read_tokens(const std::string& path) {
  for (const NamedTensor& t : read_safetensors(path).tensors)
    if (t.name == "tokens") return t.tensor;
  fail("trace: ", path, " has no tensor called \"tokens\"");
}

int run_trace(const Options& o) {
  const Device device = o.machine.apply();
  const std::unique_ptr<Model> model = open_model(o, device);
  if (!o.weights.empty()) assign(o.weights, model->parameters(), read_safetensors(o.weights).tensors);
  const Tensor tokens = read_tokens(o.tokens);
  const std::vector<NamedTensor> dump = trace(*model, tokens, model->initial_memory(tokens.dim(0)));
  write_safetensors(o.out, dump);
  fmt::print("{}: {} tensors, loss {:.9g}\n", o.out, dump.size(), dump[0].tensor.item());
  return 0;
}

}  // namespace

void add_trace(CLI::App& app, Action& run) {
  const auto o = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("trace", "Dump logits, routing and gradients of one batch");
  o->config.add_to(*command, "MODEL");
  command->add_option("--weights", o->weights, "parameters, a safetensors file");
  command->add_option("--tokens", o->tokens, "safetensors file with tokens i32 [B,T+1]")->required();
  command->add_option("--out", o->out, "safetensors file to write")->required();
  o->machine.add_to(*command);
  command->callback([o, &run] { run = [o] { return run_trace(*o); }; });
}

}  // namespace rmoe
