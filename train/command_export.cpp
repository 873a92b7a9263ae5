#include "train/checkpointed_model.hpp"
#include "train/commands.hpp"
#include "train/interchange/architecture.hpp"
#include "train/interchange/export.hpp"

#include <fmt/core.h>

namespace rmoe {
namespace {

struct Options {
  std::string path, to = "hf", out, dtype = "f32";
  uint64_t most_shard_bytes = 5'000'000'000;
};

int run_export(const Options& o) {
  interchange::refuse_to_overwrite(o.out);
  const CheckpointedModel opened = open_checkpoint(o.path);
  const interchange::ExportOptions options{.dtype = o.dtype == "bf16" ? DType::bf16 : DType::f32,
                                           .most_shard_bytes = int64_t(o.most_shard_bytes)};
  const std::string note =
      interchange::export_model(*opened.model, opened.config, *opened.tokenizer, o.out, options);
  const auto architecture = interchange::architecture_of(opened.config.model, opened.config.router);
  fmt::print("{}: {} of {} parameters in {}\n", o.out, interchange::name_of(architecture),
             count_parameters(*opened.model).total, o.dtype);
  if (!note.empty()) fmt::print(stderr, "rmoe: {}\n", note);
  return 0;
}

}  // namespace

void add_export(CLI::App& app, Action& run) {
  const auto o = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("export", "Write a trained llama in Hugging Face's format");
  command->add_option("RUN", o->path, "run folder or checkpoint")->required();
  command->add_option("--to", o->to, "format: hf (Hugging Face)")->check(CLI::IsMember({"hf"}));
  command->add_option("--out", o->out, "folder to write; must be new or empty")->required();
  command->add_option("--dtype", o->dtype, "of the weights: f32 or bf16")
      ->check(CLI::IsMember({"f32", "bf16"}));
  command->add_option("--max-shard-size", o->most_shard_bytes, "largest file of weights, e.g. 500MB or 5GB")
      ->transform(CLI::AsSizeValue(/*kb_is_1000=*/true))
      ->check(CLI::PositiveNumber);
  command->callback([o, &run] { run = [o] { return run_export(*o); }; });
}

}  // namespace rmoe
