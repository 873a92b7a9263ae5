// What a model is made of. Each struct lists its fields once; parsing, `--set`, printing, the saved copy and
// the option table in the docs are all driven by that list.
#pragma once

#include <cstdint>
#include <string>

namespace rmoe {

struct ModelConfig {
  std::string kind = "lm";
  int64_t layers = 8;
  int64_t hidden = 352;
  int64_t heads = 8;
  int64_t kv_heads = 0;
  int64_t span = 2048;
  int64_t vocab = 0;
  int64_t experts = 16;
  int64_t top_k = 2;
  int64_t expert_hidden = 352;
  int64_t dense_layers = 0;
  int64_t dense_hidden = 0;
  int64_t shared_hidden = 0;
  double moe_weight = 1;
  double shared_weight = 1;
  bool tied_head = false;
  double dropout = 0.1;
  std::string expert_init = "fastmoe";
  double init_std = 0.02;
  double norm_eps = 1e-5;
  double rope_theta = 10000;
  bool recompute = false;
  bool recompute_experts = false;

  template <class Visitor>
  void fields(Visitor& field) {
    field("kind", kind,
          "model: \"lm\" (post-norm, span attention, memory) or \"llama\" (pre-norm, RoPE, SwiGLU)");
    field("layers", layers, "number of blocks");
    field("hidden", hidden, "hidden size C");
    field("heads", heads, "attention heads H; C must be a multiple");
    field("kv_heads", kv_heads,
          "llama's heads of keys and values (grouped-query attention); H must be a multiple; 0: H");
    field("span", span, "attention span L of lm: every token attends to the L positions before it");
    field("vocab", vocab, "vocabulary V; 0 takes it from the data");
    field("experts", experts, "experts E per layer");
    field("top_k", top_k, "experts K per token");
    field("expert_hidden", expert_hidden, "expert width F");
    field("dense_layers", dense_layers,
          "first layers of llama with one dense SwiGLU instead of experts; they have no router");
    field("dense_hidden", dense_hidden, "its width; 0: top_k * expert_hidden");
    field("shared_hidden", shared_hidden,
          "width of llama's shared expert, which every token takes besides its K; 0: none");
    field("moe_weight", moe_weight, "y = moe_weight * experts + shared_weight * shared expert");
    field("shared_weight", shared_weight, "the same; neither is used without a shared expert");
    field("tied_head", tied_head, "llama's head is its embedding");
    field("dropout", dropout, "dropout probability (lm)");
    field("expert_init", expert_init,
          "lm expert weights: \"fastmoe\" (fan_in = out * in) or \"linear\" (fan_in = in)");
    field("init_std", init_std, "standard deviation of llama's initial weights");
    field("norm_eps", norm_eps, "epsilon of the norms");
    field("rope_theta", rope_theta, "base of llama's rotary position embedding");
    field("recompute", recompute,
          "run each block again in the backward pass instead of keeping its activations");
    field("recompute_experts", recompute_experts,
          "run each layer's experts again in the backward pass instead of keeping what is inside of them");
  }
};

struct RouterConfig {
  std::string name = "rmoe";
  int64_t state = 128;
  double balance_weight = 0.01;
  std::string balance_over = "batch";
  std::string balance_layers = "each";
  double z_loss_weight = 0;
  double capacity_factor = 0;
  std::string freeze = "";

  /// "router": the layers' own parameters (projector and head) keep their values; "recurrent": the cell that
  /// they share.
  bool freezes(const std::string& part) const { return (freeze + ",").find(part + ",") != freeze.npos; }

  template <class Visitor>
  void fields(Visitor& field) {
    field("name", name, "router preset, see models/router/README.md; \"dense\" for llama without experts");
    field("state", state, "recurrent router state P");
    field("balance_weight", balance_weight,
          "weight of the load-balance loss E sum_e f_e P_e: f_e the share of assignments, P_e the mean "
          "probability");
    field("balance_over", balance_over,
          "load balance over the whole \"batch\" (in micro-batches: one forward pass more) or over each "
          "\"micro_batch\"");
    field("balance_layers", balance_layers,
          "f and P of \"each\" layer by itself, the losses summed: L at perfect balance; or \"joint\", over "
          "the "
          "tokens of all layers together: 1 at perfect balance, whatever L");
    field("z_loss_weight", z_loss_weight,
          "weight of the router z-loss, the mean over tokens of logsumexp(logits)^2, summed over layers");
    field("capacity_factor", capacity_factor,
          "in training an expert takes at most ceil(capacity_factor * N * K / E) of a micro-batch's "
          "assignments and "
          "drops those of the lowest scores; 0: none is dropped");
    field("freeze", freeze,
          "parameters that keep their values: \"router\" (projector and head of every layer), \"recurrent\" "
          "(the "
          "cell that all layers share), \"router,recurrent\", or \"\" for none");
  }
};

}  // namespace rmoe
