// What every model takes along and gives back.
#pragma once

#include "models/moe.hpp"

#include <vector>

namespace rmoe {

/// One tensor per layer: the inputs of the last L positions before the current block, [B,L,C]. Empty for
/// models without memory.
using Memory = std::vector<Tensor>;

struct LayerStats {
  RoutingStats routing;  // undefined tensors in a dense layer
  Tensor output;         // [B,T,C], kept on request
};

struct ModelOutput {
  Var logits;   // [B,T,V]
  Var balance;  // [] sum of the layers' load-balance losses; undefined without experts
  Memory memory;
  std::vector<LayerStats> layers;
};

struct BlockOutput {
  Var y;  // [B,T,C]
  RouterState state;
  Var balance;  // undefined without experts
  RoutingStats stats;
};

/// Runs a block, or runs it again in the backward pass instead of keeping its activations. `block(h, state)`
/// must be a pure function whose captures outlive the backward pass.
template <class Block>
BlockOutput run_block(bool again_in_backward, const Block& block, const Var& h, const RouterState& state) {
  if (!again_in_backward) return block(h, state);
  const auto stats = std::make_shared<RoutingStats>();
  const Vars ys = recompute(
      [=](const Vars& in) {
        BlockOutput out = block(in[0], RouterState{in[1]});
        *stats = out.stats;
        Vars values{out.y};
        if (out.balance) values.push_back(out.balance);
        if (out.state.h) values.push_back(out.state.h);
        return values;
      },
      {h, state.h});
  BlockOutput out{ys[0], {}, {}, *stats};
  if (ys.size() > 1) out.balance = ys[1];
  if (ys.size() > 2) out.state.h = ys[2];
  return out;
}

}  // namespace rmoe
