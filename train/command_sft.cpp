#include "data/tokenizer/tokenizer.hpp"
#include "train/checkpoint.hpp"
#include "train/command_options.hpp"
#include "train/commands.hpp"
#include "train/fields.hpp"
#include "train/sft/examples.hpp"
#include "train/signals.hpp"

#include <algorithm>
#include <fmt/core.h>

namespace rmoe {
namespace {

namespace fs = std::filesystem;

struct Options {
  ConfigOptions config;
  RunOptions run;
  std::string init, data, freeze;
  int64_t steps = -1, valid = -1;
  MachineOptions machine;
};

/// Where the weights come from, and what is known about their model.
struct Origin {
  fs::path path;  // what it was opened as; empty: a file of weights alone
  Config base;    // its model, router and data; else the defaults
  TokenizerPtr tokenizer = {};
};

Origin open_origin(const Options& o) {
  const bool goes_on = o.run.resume && has_checkpoint(o.run.run);
  if (o.init.empty() && !goes_on)
    throw UsageError("sft: --init is missing: name a run, a checkpoint or a file of weights");
  if (!goes_on && fs::is_regular_file(o.init)) return {};
  const fs::path path = find_checkpoint(goes_on ? o.run.run / "latest" : fs::path(o.init));
  const Config saved = parse_config(checkpoint_state(path).at("config").get<std::string>(), path.string());
  Origin origin{path, {}, load_tokenizer(path)};
  origin.base.model = saved.model;
  origin.base.router = saved.router;
  origin.base.data = saved.data;
  if (!goes_on) origin.base.router.freeze.clear();
  return origin;
}

/// Settings of a model that do not change what its weights mean.
bool is_free(const std::string& key) {
  for (const char* free : {"model.dropout", "model.recompute", "model.recompute_experts",
                           "router.balance_weight", "router.balance_over", "router.balance_layers",
                           "router.z_loss_weight", "router.capacity_factor", "router.freeze"})
    if (key == free) return true;
  return !key.starts_with("model.") && !key.starts_with("router.");
}

std::string value_of(const Field& field) {
  return std::visit([](const auto* value) { return concat(*value); }, field.value);
}

/// The architecture is the checkpoint's: a config that says another is refused.
void check_same_model(Config config, const Origin& origin) {
  Config base = origin.base;
  const std::vector<Field> wanted = fields_of(base), got = fields_of(config);
  std::string clashes;
  for (size_t i = 0; i < got.size(); ++i)
    if (!is_free(got[i].key()) && value_of(got[i]) != value_of(wanted[i]))
      clashes += concat(clashes.empty() ? "" : "; ", got[i].key(), " is ", value_of(got[i]), ", but ",
                        value_of(wanted[i]), " in ", origin.path.string());
  if (!clashes.empty())
    throw UsageError("sft: the model is the checkpoint's: " + clashes + "; leave these out");
}

Config load_sft_config(Options& o, const Origin& origin) {
  std::vector<std::string>& set = o.config.overrides;
  if (!o.data.empty()) set.push_back("sft.data=" + o.data);
  if (!o.freeze.empty()) set.push_back("router.freeze=" + o.freeze);
  if (o.valid >= 0) set.push_back(concat("sft.valid=", o.valid));
  if (o.steps >= 0) set.insert(set.end(), {concat("train.steps=", o.steps), "sft.epochs=0"});
  Config config = o.config.load(origin.base);
  if (!origin.path.empty()) check_same_model(config, origin);
  return config;
}

/// A file of weights alone brings no tokenizer.
TokenizerPtr tokenizer_of(const Origin& origin, const Config& config) {
  if (origin.tokenizer) return origin.tokenizer;
  if (!fs::exists(config.data.tokens))
    throw UsageError(concat("sft: a file of weights brings no tokenizer: data.tokens is \"",
                            config.data.tokens, "\", wanted the path of one"));
  return load_tokenizer(config.data.tokens);
}

int run_sft(Options o) {
  o.run.device = o.machine.apply();
  if (o.run.run.empty()) o.run.run = fs::path("runs") / fs::path(o.config.path).stem();
  if (!o.run.resume && has_checkpoint(o.run.run))
    fail("sft: ", o.run.run.string(),
         " already holds a run; add --resume to go on with it, or choose another --run");
  const Origin origin = open_origin(o);
  Config config = load_sft_config(o, origin);
  const Examples examples = load_examples(config, tokenizer_of(origin, config));
  fit_epochs(config, examples);
  if (config.model.vocab == 0) config.model.vocab = examples.tokenizer->size();
  o.run.init = origin.path.empty() ? fs::path(o.init) : origin.path / "model.safetensors";
  fs::create_directories(o.run.run);
  watch_stop_signals();
  const RunResult result = train(config, training_data(examples, config), o.run);
  if (result.interrupted) {
    fmt::print("stopped at step {} of {}, saved; go on with --resume --run {}\n", result.step,
               config.train.steps, o.run.run.string());
    return kInterrupted;
  }
  fmt::print("done: {} examples, {} steps{}; everything is in {}\n", examples.train.size(), result.step,
             result.valid.tokens > 0 ? fmt::format(", valid loss {:.4f}", result.valid.loss) : "",
             o.run.run.string());
  return 0;
}

}  // namespace

void add_sft(CLI::App& app, Action& run) {
  const auto o = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("sft", "Teach a trained model to follow instructions; Ctrl-C saves and stops");
  o->config.add_to(*command);
  command->add_option("--init", o->init,
                      "a run, a checkpoint or a file of weights (safetensors) to start from");
  command->add_option("--data", o->data, "instructions in Alpaca's format: short for --set sft.data=FILE");
  command->add_option("--valid", o->valid, "short for --set sft.valid=N: the last N are for validation")
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  command
      ->add_option(
          "--freeze", o->freeze,
          "parameters that keep their values: router (projector and head of every layer), recurrent (the "
          "cell all layers share), or both: router,recurrent")
      ->check(CLI::IsMember({"router", "recurrent", "router,recurrent"}));
  command->add_option("--steps", o->steps, "so many steps instead of sft.epochs");
  command->add_option("--run", o->run.run, "run folder; default runs/CONFIG");
  command->add_flag("--resume", o->run.resume, "go on from the newest intact checkpoint, if there is one");
  o->machine.add_to(*command);
  command->callback([o, &run] { run = [o] { return run_sft(*o); }; });
}

}  // namespace rmoe
