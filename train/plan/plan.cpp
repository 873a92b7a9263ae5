#include "train/plan/plan.hpp"

#include <algorithm>

namespace rmoe::plan {
namespace {

constexpr int64_t kNode = 8;  // GPUs that a switch connects
constexpr double kNetworkRate =
    86e9;  // bytes/s: bus bandwidth over two nodes of 4 x 200 Gb/s (NVIDIA/nccl-tests#175)
constexpr double kAllToAllShare = 0.86;  // of the bus bandwidth: 200 GB/s on an A100
constexpr double kGradient = 4;          // bytes: gradients are summed in fp32

template <class... Args>
void require(bool holds, const Args&... args) {
  if (!holds) throw UsageError(concat("plan: ", args...));
}

void check(const Config& config, const Layout& layout) {
  const int64_t batch = config.train.batch, gpus = layout.gpus, ep = layout.expert_parallel;
  require(batch % gpus == 0, "train.batch = ", batch, " streams cannot be divided among ", gpus, " GPUs");
  require(layout.micro_batch <= batch / gpus, "--micro-batch ", layout.micro_batch, " is more than the ",
          batch / gpus, " streams a GPU has in a step");
  require(layout.zero == 0 || gpus > 1, "--zero 1 cuts the optimizer's state among GPUs, and there is one");
  require(gpus % ep == 0, "--expert-parallel ", ep, " does not divide ", gpus, " GPUs");
  if (ep == 1) return;
  require(config.model.kind == "llama", "--expert-parallel ", ep, ": wants model.kind = \"llama\", got \"",
          config.model.kind, '"');
  require(config.router.name != "dense", "--expert-parallel ", ep, ": a dense model has no experts");
  require(config.model.experts % ep == 0, "--expert-parallel ", ep, " does not divide ", config.model.experts,
          " experts");
}

/// Among groups of so many neighbours, the slowest of which decides.
double link_rate(const Layout& layout, int64_t neighbours) {
  const bool in_nodes = layout.gpus <= kNode || kNode % neighbours == 0;
  return in_nodes ? layout.gpu->link_rate : kNetworkRate;
}

/// Seconds of an all-reduce, or of a reduce-scatter and an all-gather of other widths, in rings. The GPUs are
/// all, or as many from end to end.
double sum_over(const Layout& layout, double parameters, int64_t gpus) {
  if (gpus == 1) return 0;
  const double gathered = layout.zero > 0 ? double(size_of(layout.dtype)) : kGradient;
  return parameters * (kGradient + gathered) * double(gpus - 1) / double(gpus) /
         link_rate(layout, layout.gpus);
}

double gradient_sum_s(const Sizes& s, const Layout& layout) {
  const double experts = double(s.expert_parameters) / double(layout.expert_parallel);
  const double others = double(s.parameters.total - s.expert_parameters);
  return sum_over(layout, others, layout.gpus) +
         sum_over(layout, experts, layout.gpus / layout.expert_parallel);
}

/// Tokens travel to their experts and back, and their gradients do; once more wherever experts run again.
double all_to_all_s(const Sizes& s, const Layout& layout) {
  const auto ep = double(layout.expert_parallel);
  const bool again = layout.recompute == Recompute::experts || layout.recompute == Recompute::layer;
  const int times = 4 + (again ? 2 : 0) + (loads_first(s, layout) ? 2 : 0);
  const double rows = double(s.batch / layout.gpus * s.T * s.K);
  const double bytes = rows * double(s.C) * double(size_of(layout.dtype)) * (ep - 1) / ep;
  return times * double(s.expert_layers) * bytes /
         (kAllToAllShare * link_rate(layout, layout.expert_parallel));
}

/// AdamW reads the gradient, both moments and the master weight and writes all but the first.
Columns optimizer_s(const Sizes& s, const Layout& layout) {
  const double experts = double(s.expert_parameters) / double(layout.expert_parallel);
  double held = double(s.parameters.total - s.expert_parameters) + experts;
  if (layout.zero > 0)
    held = (held - experts) / double(layout.gpus) +
           experts * double(layout.expert_parallel) / double(layout.gpus);
  const double bytes = layout.dtype == DType::bf16 ? 30 : 28;
  return time_of({.bytes = bytes * held}, *layout.gpu, layout.dtype);
}

Columns micro_batch_s(const Sizes& s, Layout layout, int64_t micro_batch) {
  layout.micro_batch = micro_batch;
  Columns sum;
  for (const Op& op : ops_of(s, layout)) sum += op.times * time_of(op, *layout.gpu, layout.dtype);
  return sum;
}

/// The largest divisor of n that is at most `most`, at least 1: no part is smaller than the others.
int64_t largest_divisor(int64_t n, int64_t most) {
  for (int64_t d = std::min(n, most); d > 1; --d)
    if (n % d == 0) return d;
  return 1;
}

}  // namespace

double Plan::mfu(double seconds) const {
  return flops_per_step() / seconds / (double(layout.gpus) * layout.gpu->flops(layout.dtype));
}

Plan make_plan(const Config& config, Layout layout) {
  check(config, layout);
  Plan plan;
  plan.sizes = sizes_of(config);
  const Sizes& s = plan.sizes;
  plan.largest_micro_batch = largest_micro_batch(s, layout);
  const int64_t streams = s.batch / layout.gpus;
  if (layout.micro_batch == 0) layout.micro_batch = largest_divisor(streams, plan.largest_micro_batch);
  plan.layout = layout;
  plan.memory = memory_of(s, layout);
  for (const Op& op : ops_of(s, layout))
    plan.ops.push_back({op, op.times * time_of(op, *layout.gpu, layout.dtype)});

  const int64_t full = streams / layout.micro_batch, rest = streams % layout.micro_batch;
  plan.micro_steps = full + (rest > 0);
  plan.micro_batch_s = micro_batch_s(s, layout, layout.micro_batch);
  plan.compute_s = double(full) * plan.micro_batch_s;
  if (rest > 0) plan.compute_s += micro_batch_s(s, layout, rest);
  const double communication = gradient_sum_s(s, layout) + all_to_all_s(s, layout);
  plan.communication_s = {communication, communication, communication};
  plan.optimizer_s = optimizer_s(s, layout);
  for (const Columns& part : {plan.compute_s, plan.communication_s, plan.optimizer_s}) plan.step_s += part;
  return plan;
}

}  // namespace rmoe::plan
