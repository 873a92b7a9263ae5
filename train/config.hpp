// The whole configuration of a run: one TOML section per struct. A struct lists its fields once; parsing,
// `--set`, printing, the saved copy and the option table are driven by that list.
#pragma once

#include "data/config.hpp"
#include "models/config.hpp"

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace rmoe {

struct TrainConfig {
  int64_t steps = 80000;
  int64_t batch = 48;
  int64_t block = 512;
  int64_t micro_batches = 2;
  std::string precision = "fp32";
  int64_t seed = 1;
  int64_t eval_every = 1000;
  int64_t eval_blocks = 100;
  int64_t eval_streams = 8;
  int64_t log_every = 50;
  int64_t analyze_every = 1000;
  int64_t checkpoint_every = 0;
  int64_t keep = 3;
  int64_t expert_parallel = 1;

  /// Micro-batch i is streams [first_stream(i), first_stream(i + 1)).
  int64_t first_stream(int64_t i) const { return i * batch / micro_batches; }
  int64_t largest_part() const { return (batch + micro_batches - 1) / micro_batches; }

  template <class Visitor>
  void fields(Visitor& field) {
    field("steps", steps, "optimizer steps in all");
    field("batch", batch, "streams B read in parallel");
    field("block", block, "tokens T per stream and step");
    field("precision", precision,
          "fp32 or bf16. On a GPU weights and activations are stored in it; on a CPU attention's projections "
          "and experts multiply factors rounded to it. Weights are trained, sums, routers, norms and losses "
          "computed, in fp32 all the same");
    field("micro_batches", micro_batches,
          "parts a batch is computed in, one after the other, as even as B allows");
    field("seed", seed, "of the initial weights, dropout and data order");
    field("eval_every", eval_every, "steps between validations; 0 validates at the end only");
    field("eval_blocks", eval_blocks, "blocks of a validation during training");
    field("eval_streams", eval_streams, "streams a validation reads in parallel");
    field("log_every", log_every, "steps between two log lines");
    field("analyze_every", analyze_every,
          "steps between analyses of routers and experts (train/analysis); 0 makes none");
    field("checkpoint_every", checkpoint_every, "steps between checkpoints; 0 saves after each validation");
    field("keep", keep, "newest checkpoints kept, besides the best");
    field(
        "expert_parallel", expert_parallel,
        "ranks in a group that llama's experts are spread over: each keeps as many and computes them for all "
        "of its group. Every group has all experts; 1: so has every rank");
  }
};

struct OptimizerConfig {
  std::string name = "adam";
  double lr = 7e-4;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0;
  std::string decay = "matrices";
  double clip = 0;
  int64_t warmup = 4000;
  double warmup_ratio = 0;
  std::string schedule = "constant";
  double min_lr = 0;
  bool shard = false;

  template <class Visitor>
  void fields(Visitor& field) {
    field("name", name, "\"adam\", or \"adamw\" with decoupled weight decay");
    field("lr", lr, "learning rate after the warm-up");
    field("beta1", beta1, "decay of the gradient's mean");
    field("beta2", beta2, "decay of its square's mean");
    field("eps", eps, "added to the square root");
    field("weight_decay", weight_decay, "decoupled weight decay (adamw)");
    field("decay", decay,
          "what decays: \"matrices\" (two dimensions and more, embedding and head too; no norms, no biases) "
          "or \"all\"");
    field("clip", clip, "largest global norm of the gradient; 0 does not clip");
    field("warmup", warmup, "steps of linear warm-up");
    field("warmup_ratio", warmup_ratio,
          "the same as a share of all steps, instead of warmup; 0: warmup it is");
    field("schedule", schedule, "after the warm-up: \"constant\", or \"cosine\" down to min_lr");
    field("min_lr", min_lr, "learning rate at the last step (cosine)");
    field("shard", shard,
          "of several ranks each keeps a part of moments and fp32 masters, and updates that (ZeRO-1)");
  }
};

/// What `rmoe sft` adds.
struct SftConfig {
  std::string data;
  double epochs = 3;
  int64_t valid = 0;

  template <class Visitor>
  void fields(Visitor& field) {
    field("data", data, "instructions with answers in Alpaca's format: JSON or JSON lines");
    field("epochs", epochs, "how often each is learned, which sets train.steps; 0: train.steps it is");
    field("valid", valid, "the last so many are kept for validation");
  }
};

struct Config {
  ModelConfig model;
  RouterConfig router;
  DataConfig data;
  TrainConfig train;
  OptimizerConfig optimizer;
  SftConfig sft;

  template <class Visitor>
  void sections(Visitor& section) {
    section("model", model);
    section("router", router);
    section("data", data);
    section("train", train);
    section("optimizer", optimizer);
    section("sft", sft);
  }
};

/// Reads a TOML file, applies overrides ("train.steps=10") and checks the whole. All mistakes are reported at
/// once, one per line of a single UsageError. What is not set stays as it is in `base`.
Config load_config(const std::filesystem::path& path, const std::vector<std::string>& overrides = {},
                   const Config& base = {});
/// The same for a text; `origin` names it in messages.
Config parse_config(std::string_view text, const std::string& origin,
                    const std::vector<std::string>& overrides = {}, const Config& base = {});

/// Every field as TOML; parses back to the same bits.
std::string to_toml(const Config& config);
/// Every option with type, default and meaning, as Markdown tables.
std::string option_table();

}  // namespace rmoe
