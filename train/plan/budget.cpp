#include "train/plan/budget.hpp"

#include "train/plan/op_list.hpp"

#include <algorithm>

namespace rmoe::plan {
namespace {

constexpr double kGoodMemory = 0.80, kFirstMemory = 0.65;  // shares of the memory bandwidth

// Shares of the tensor cores' peak, as gpu.md assumes them at the paper's sizes.
constexpr Efficiency kEmbedding{.good_latency_us = 3, .first_latency_us = 4};
constexpr Efficiency kHead{.good = 0.74, .first = 0.64}, kHeadWeights{.good = 0.74, .first = 0.62};
constexpr Efficiency kSoftmaxPasses{.hidden_at_limit = true};

void add_ends(OpList& ops, const Sizes& s) {
  const double N = ops.N, e = ops.e, C = double(s.C), V = double(s.V), product = 2 * N * C * V;
  ops.add("F embedding", "embedding", 0, 2 * N * C * e, kEmbedding);
  ops.add("F head", "head", product, (N * C + V * C + N * V) * e, kHead);
  ops.add("softmax, loss and dlogits", "head", 0, 3 * N * V * e, kSoftmaxPasses);
  ops.add("B head, dx", "head", product, (N * C + V * C + N * V) * e, kHead);
  ops.add("B head, dw", "head", product, (N * C + N * V) * e + 8 * V * C, kHeadWeights);
  ops.add("B embedding", "embedding", 0, N * C * e + 8 * std::min(N, V) * C, kEmbedding);
}

bool is_forward_of_layer(const Op& op) {
  return op.name.starts_with("F ") && op.group != "head" && op.group != "embedding";
}

/// A second run of the ops that `again` picks.
template <class Picks>
void add_again(std::vector<Op>& ops, const std::string& why, const Picks& again) {
  for (size_t i = 0, count = ops.size(); i < count; ++i) {
    if (!again(ops[i])) continue;
    Op op = ops[i];
    op.name = why + op.name.substr(2);
    ops.push_back(std::move(op));
  }
}

}  // namespace

Columns& Columns::operator+=(const Columns& other) {
  limit += other.limit;
  good += other.good;
  first += other.first;
  return *this;
}

Columns operator*(double factor, Columns c) { return {factor * c.limit, factor * c.good, factor * c.first}; }

Columns time_of(const Op& op, const Gpu& gpu, DType dtype) {
  const double compute = op.flops / gpu.flops(dtype), memory = op.bytes / gpu.memory_rate;
  const Efficiency& e = op.efficiency;
  return {e.hidden_at_limit ? 0 : std::max(compute, memory),
          std::max(compute / e.good, memory / kGoodMemory) + e.good_latency_us * 1e-6,
          std::max(compute / e.first, memory / kFirstMemory) + e.first_latency_us * 1e-6};
}

bool loads_first(const Sizes& sizes, const Layout& layout) {
  return sizes.balance_over_batch && layout.micro_batch < sizes.batch / layout.gpus;
}

std::vector<Op> ops_of(const Sizes& sizes, const Layout& layout) {
  OpList ops(layout);
  ops.N = double(layout.micro_batch * sizes.T);
  if (sizes.llama)
    add_llama_layers(ops, sizes);
  else
    add_lm_layers(ops, sizes);
  add_ends(ops, sizes);
  std::vector<Op> list = std::move(ops.list);
  if (layout.recompute == Recompute::experts)
    add_again(list, "again: ", [](const Op& op) { return op.name.ends_with(kFirstProducts); });
  if (layout.recompute == Recompute::layer) add_again(list, "again: ", is_forward_of_layer);
  if (loads_first(sizes, layout)) add_again(list, "loads: ", is_forward_of_layer);
  return list;
}

}  // namespace rmoe::plan
