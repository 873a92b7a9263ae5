// The numbers of a model that memory and time are computed from. Parameters and FLOPs are counted by running
// the model itself on the meta device.
#pragma once

#include "models/model.hpp"
#include "train/config.hpp"

namespace rmoe::plan {

struct Sizes {
  bool llama = false;
  int64_t V = 0, C = 0, H = 0, L = 0, T = 0, S = 0;  // S: span of lm
  int64_t KV = 0;                             // width of keys and of values: C, less with grouped heads
  int64_t E = 0, K = 0, F = 0, P = 0;         // P: 0 without a recurrent router
  int64_t expert_layers = 0;                  // the other layers are dense
  int64_t dense_width = 0, shared_width = 0;  // F of a dense layer and of the shared expert
  int64_t batch = 0;                          // streams of T tokens per step
  bool balance_over_batch = false;            // the load balance wants the loads of the whole batch first

  ParameterCounts parameters;
  int64_t expert_parameters = 0;
  double flops_per_token = 0;                              // forward and backward, products only
  double router_fwd = 0, router_bwd = 0, router_proj = 0;  // FLOPs per token and layer; proj is part of fwd

  int64_t dense_layers() const { return L - expert_layers; }
};

/// config.model.vocab must be known.
Sizes sizes_of(Config config);

}  // namespace rmoe::plan
