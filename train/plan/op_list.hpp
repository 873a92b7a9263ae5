// Writing down the ops of a layer, for the files that do so for each kind of model.
#pragma once

#include "train/plan/budget.hpp"

namespace rmoe::plan {

inline constexpr const char* kFirstProducts =
    "first products";  // of experts and dense blocks: see Recompute::experts

struct OpList {
  explicit OpList(const Layout& layout)
      : e(double(size_of(layout.dtype))), expert_parallel(double(layout.expert_parallel)) {}

  /// A product [N,in] x [in,out], forward. Bytes: inputs, weights, outputs.
  void add(std::string name, std::string group, double flops, double bytes, const Efficiency& efficiency) {
    list.push_back({std::move(name), std::move(group), flops, bytes, efficiency, times});
  }

  double N = 0;            // tokens of a micro-batch
  double e;                // bytes of a weight or an activation
  double expert_parallel;  // every GPU has E / this many experts, and as many rows as without
  double times = 1;        // of what is added from here on
  std::vector<Op> list = {};
};

void add_llama_layers(OpList& ops, const Sizes& sizes);
void add_lm_layers(OpList& ops, const Sizes& sizes);

/// The router's part of a layer with experts, forward and backward.
void add_router_forward(OpList& ops, const Sizes& sizes);
void add_router_backward(OpList& ops, const Sizes& sizes);

}  // namespace rmoe::plan
