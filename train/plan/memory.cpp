#include "train/plan/memory.hpp"

#include <algorithm>

namespace rmoe::plan {
namespace {

// CUDA context, NCCL's buffers and cuBLAS' workspaces: assumed.
constexpr double kFixedBytes = 0.6e9;
// Logits are computed for so many tokens at a time that they take at most this.
constexpr double kLogitsBytes = 0.8e9;
constexpr double kFloat = 4;  // statistics, router and gradients are fp32 whatever the weights are

double width_of(DType dtype) { return double(size_of(dtype)); }

void add_attention(std::vector<MemoryItem>& kept, const Sizes& s, double e) {
  const double C = double(s.C), KV = double(s.KV);
  // lm projects its memory again for every block: keys and values of S + T positions for T tokens.
  const double positions = s.llama ? 1 : double(s.S + s.T) / double(s.T);
  kept.push_back({"q, k, v", e * (C + 2 * KV * positions)});
  kept.push_back({"attention output", e * C});
  kept.push_back({"log-sum-exp of the scores", kFloat * double(s.H)});
}

void add_experts(std::vector<MemoryItem>& kept, const Sizes& s, double e, Recompute recompute) {
  const double products = s.llama ? 2 : 1;  // w1 and w3 of SwiGLU; relu(w1 x) of lm
  if (recompute != Recompute::experts) {
    kept.push_back({"experts' first products", e * products * double(s.K * s.F)});
    if (s.shared_width > 0)
      kept.push_back({"shared expert's first products", e * 2 * double(s.shared_width)});
  }
  if (s.P > 0) kept.push_back({"router state", kFloat * double(s.P)});
  kept.push_back({"probabilities", kFloat * double(s.E)});
  kept.push_back({"weights and experts chosen", 8 * double(s.K)});
}

/// What fusing and recomputing cheap things saves.
void add_unfused(std::vector<MemoryItem>& kept, const Sizes& s, bool has_experts, double e) {
  const double C = double(s.C), K = double(s.K), F = double(s.F), P = double(s.P);
  kept.push_back({"norm outputs", e * 2 * C});
  if (!has_experts) return kept.push_back({"activated rows", e * double(s.dense_width)});
  kept.push_back({"gathered rows", e * K * C});
  kept.push_back({"activated rows", e * K * F});
  kept.push_back({"expert outputs", e * K * C});
  if (s.P > 0) kept.push_back({"gates of the cell and its input", kFloat * 4 * P + e * P});
}

/// Of one layer's forward and backward pass, in use by one layer at a time.
double scratch_per_token(const Sizes& s, double e) {
  const double C = double(s.C), rows = e * double(s.K);
  const double slots = rows * C;                                 // expert outputs, or dx of every slot
  const double hidden = rows * double(s.F) * (s.llama ? 4 : 2);  // h, its weighted copy, d of both products
  return slots + hidden + e * (6 * C);                           // dq dk dv, gradients of the residual stream
}

double kept_bytes(const Sizes& s, DType dtype, Recompute recompute) {
  const double with = total_of(kept_per_token(s, true, dtype, recompute));
  const double without = total_of(kept_per_token(s, false, dtype, recompute));
  return double(s.expert_layers) * with + double(s.dense_layers()) * without;
}

/// Bytes of each parameter that is on this GPU; optimizer state is cut among `replicas` under ZeRO-1.
void add_states(std::vector<MemoryItem>& items, const Sizes& s, const Layout& layout) {
  const double experts = double(s.expert_parameters) / double(layout.expert_parallel);
  const double others = double(s.parameters.total - s.expert_parameters);
  const double GPUs = double(layout.gpus);
  const double cut =
      layout.zero > 0 ? others / GPUs + experts / (GPUs / double(layout.expert_parallel)) : others + experts;
  items.push_back({"weights", width_of(layout.dtype) * (others + experts)});
  if (layout.dtype == DType::bf16) items.push_back({"master weights", kFloat * cut});
  items.push_back({"moments", 2 * kFloat * cut});
  items.push_back({"gradients", kFloat * (others + experts)});
}

}  // namespace

std::vector<MemoryItem> kept_per_token(const Sizes& s, bool has_experts, DType dtype, Recompute recompute) {
  const double e = width_of(dtype), C = double(s.C);
  std::vector<MemoryItem> kept;
  if (recompute == Recompute::layer) {
    kept.push_back({"layer input", e * C});
    if (has_experts && s.P > 0) kept.push_back({"router state", kFloat * double(s.P)});
    return kept;
  }
  const double norms = s.llama ? 2 : 3;  // lm: two norms and two residual sums around the experts
  kept.push_back({"residual stream", e * C * (s.llama ? 2 : 4)});
  kept.push_back({"norm statistics", kFloat * norms * (s.llama ? 1 : 2)});
  add_attention(kept, s, e);
  if (has_experts)
    add_experts(kept, s, e, recompute);
  else if (recompute != Recompute::experts)
    kept.push_back({"dense layer's first products", e * 2 * double(s.dense_width)});
  if (recompute == Recompute::none) add_unfused(kept, s, has_experts, e);
  return kept;
}

int64_t tokens_of_logits_block(const Sizes& s, const Layout& layout) {
  constexpr int64_t kStep = 1024;
  const auto most = int64_t(kLogitsBytes / (width_of(layout.dtype) * double(s.V)));
  return std::min(layout.micro_batch * s.T, std::max(kStep, most / kStep * kStep));
}

std::vector<MemoryItem> memory_of(const Sizes& s, const Layout& layout) {
  const double e = width_of(layout.dtype), tokens = double(layout.micro_batch * s.T), C = double(s.C);
  std::vector<MemoryItem> items;
  add_states(items, s, layout);
  if (!s.llama) {
    const double streams = double(s.batch / layout.gpus);
    items.push_back({"memory of the streams", streams * double(s.L * s.S) * C * e});
  }
  double kept = kept_bytes(s, layout.dtype, layout.recompute) + e * C;  // and what the head reads
  if (layout.recompute == Recompute::layer)                             // one layer at a time is whole
    kept += total_of(kept_per_token(s, s.expert_layers > 0, layout.dtype, Recompute::lean));
  items.push_back({"activations", tokens * kept});
  items.push_back({"logits block", double(tokens_of_logits_block(s, layout) * s.V) * e});
  items.push_back({"scratch of a layer", tokens * scratch_per_token(s, e)});
  items.push_back({"context, libraries", kFixedBytes});
  return items;
}

double total_of(const std::vector<MemoryItem>& items) {
  double total = 0;
  for (const MemoryItem& item : items) total += item.bytes;
  return total;
}

int64_t largest_micro_batch(const Sizes& s, Layout layout) {
  const auto fits = [&](int64_t streams) {
    layout.micro_batch = streams;
    return total_of(memory_of(s, layout)) <= layout.gpu->memory_bytes;
  };
  int64_t largest = 0;
  while (largest < s.batch / layout.gpus && fits(largest + 1)) ++largest;
  return largest;
}

}  // namespace rmoe::plan
