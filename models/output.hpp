// What every model takes along and gives back.
#pragma once

#include "models/moe.hpp"

#include <vector>

namespace rmoe {

/// One tensor per layer: the inputs of the last L positions before the current block, [B,L,C]. Empty for
/// models without memory.
using Memory = std::vector<Tensor>;

struct LayerStats {
  RoutingStats routing;
  Tensor output;  // [B,T,C], kept on request
};

/// Those that have experts; the first layers may have none.
std::vector<LayerStats> with_experts(const std::vector<LayerStats>& layers);

struct ModelOutput {
  Linear head;      // C -> V
  Var hidden = {};  // [B,T,C], what it reads
  Memory memory = {};
  std::vector<LayerStats> layers = {};
  Var logits() const { return head(hidden); }  // [B,T,V]; losses() does without
};

struct BlockOutput {
  Var y;  // [B,T,C]
  RouterState state;
  RoutingStats routing;

  /// Everything a gradient may come back through.
  std::vector<Var*> vars() {
    return {&y, &state.h, &state.c, &state.logits, &routing.logits, &routing.probs};
  }
};

/// Runs a block, or runs it again in the backward pass instead of keeping its activations. `block(h, state)`
/// must be a pure function whose captures outlive the backward pass.
template <class Block>
BlockOutput run_block(bool again_in_backward, const Block& block, const Var& h, const RouterState& state) {
  if (!again_in_backward) return block(h, state);
  const auto kept = std::make_shared<BlockOutput>();  // of the first run; its Vars are replaced below
  const Vars ys = recompute(
      [=](const Vars& in) {
        BlockOutput out = block(in[0], RouterState{in[1], in[2], in[3]});
        Vars defined;
        for (const Var* v : out.vars())
          if (*v) defined.push_back(*v);
        *kept = out;
        return defined;
      },
      {h, state.h, state.c, state.logits});
  BlockOutput out = std::move(*kept);
  *kept = {};
  size_t next = 0;
  for (Var* v : out.vars())
    if (*v) *v = ys[next++];
  return out;
}

}  // namespace rmoe
