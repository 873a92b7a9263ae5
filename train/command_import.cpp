#include "train/commands.hpp"
#include "train/interchange/architecture.hpp"
#include "train/interchange/import.hpp"

#include <fmt/core.h>

namespace rmoe {
namespace {

struct Options {
  std::string path, from = "hf", out, tokenizer;
};

int run_import(const Options& o) {
  const TokenizerPtr tokenizer = o.tokenizer.empty() ? nullptr : load_tokenizer(o.tokenizer);
  const Config config = interchange::import_model(o.path, tokenizer, o.out);
  const auto architecture = interchange::architecture_of(config.model, config.router);
  fmt::print("{}: {} as model.kind \"{}\" with router {}, {} layers, hidden {}, vocabulary {}\n", o.out,
             interchange::name_of(architecture), config.model.kind, config.router.name, config.model.layers,
             config.model.hidden, config.model.vocab);
  return 0;
}

}  // namespace

void add_import(CLI::App& app, Action& run) {
  const auto o = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("import", "Make a run of a model in Hugging Face's format");
  command->add_option("FOLDER", o->path, "folder with config.json and safetensors")->required();
  command->add_option("--from", o->from, "format: hf (Hugging Face)")->check(CLI::IsMember({"hf"}));
  command->add_option("--out", o->out, "run folder to write; must be new or empty")->required();
  command->add_option("--tokenizer", o->tokenizer,
                      "file or folder of a tokenizer; default: the one in FOLDER");
  command->callback([o, &run] { run = [o] { return run_import(*o); }; });
}

}  // namespace rmoe
