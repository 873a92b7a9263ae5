// What one GPU must hold, in bytes.
#pragma once

#include "train/plan/layout.hpp"
#include "train/plan/sizes.hpp"

#include <string>
#include <vector>

namespace rmoe::plan {

struct MemoryItem {
  std::string name;
  double bytes = 0;
};

/// What one layer keeps for its backward pass, in bytes per token.
std::vector<MemoryItem> kept_per_token(const Sizes& sizes, bool has_experts, DType dtype,
                                       Recompute recompute);

/// Tokens whose logits are in memory at once.
int64_t tokens_of_logits_block(const Sizes& sizes, const Layout& layout);

std::vector<MemoryItem> memory_of(const Sizes& sizes, const Layout& layout);
double total_of(const std::vector<MemoryItem>& items);

/// The largest micro-batch that fits this layout's GPU, 0 if none does.
int64_t largest_micro_batch(const Sizes& sizes, Layout layout);

}  // namespace rmoe::plan
