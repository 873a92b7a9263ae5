#include "train/plan/report.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace rmoe::plan {
namespace {

using nlohmann::ordered_json;

constexpr double kGb = 1e9, kDay = 86400;

/// The sums by group, in order of first appearance.
std::vector<std::pair<std::string, Columns>> by_group(const Plan& plan) {
  std::vector<std::pair<std::string, Columns>> groups;
  for (const OpTime& t : plan.ops) {
    auto found = std::ranges::find(groups, t.op.group, [](const auto& g) { return g.first; });
    if (found == groups.end()) found = groups.insert(groups.end(), {t.op.group, {}});
    found->second += t.seconds;
  }
  return groups;
}

std::string row(const std::string& name, const Columns& c, double unit, const char* format = "{:>10.2f}") {
  std::string line = fmt::format("  {:<38}", name);
  for (const double x : {c.limit, c.good, c.first}) line += fmt::format(fmt::runtime(format), x / unit);
  return line + "\n";
}

template <class F>
Columns each(const Columns& c, const F& f) {
  return {f(c.limit), f(c.good), f(c.first)};
}

std::string header(const Plan& plan, const Config& config) {
  const Layout& l = plan.layout;
  const ParameterCounts& p = plan.sizes.parameters;
  std::string text = fmt::format(
      "{} with router {} on {} x {}, {}, {}, recompute {}{}\n"
      "Predictions, not measured: no GPU backend has run.\n\n",
      config.model.kind, config.router.name, l.gpus, l.gpu->title, rmoe::name_of(l.dtype),
      l.zero > 0 ? "ZeRO-1" : "no ZeRO", name_of(l.recompute),
      l.expert_parallel > 1 ? fmt::format(", experts over {} GPUs", l.expert_parallel) : "");
  text += fmt::format("parameters {:>16}   ({} active per token)\n", p.total, p.active);
  text += fmt::format("FLOPs      {:>16.4g}   per token, forward and backward, products only\n",
                      plan.sizes.flops_per_token);
  text += fmt::format("           {:>16.4g}   per step of {} x {} tokens\n\n", plan.flops_per_step(),
                      plan.sizes.batch, plan.sizes.T);
  return text;
}

std::string memory_table(const Plan& plan) {
  const Layout& l = plan.layout;
  std::string text = fmt::format("GB per GPU at micro-batch {}\n", l.micro_batch);
  for (const MemoryItem& item : plan.memory)
    text += fmt::format("  {:<28}{:>8.2f}\n", item.name, item.bytes / kGb);
  text += fmt::format("  {:<28}{:>8.2f}   of {:.0f}\n", "together", total_of(plan.memory) / kGb,
                      l.gpu->memory_bytes / kGb);
  return text + fmt::format("largest micro-batch that fits: {} of {} streams per GPU\n\n",
                            plan.largest_micro_batch, plan.sizes.batch / l.gpus);
}

std::string time_table(const Plan& plan, bool with_ops) {
  std::string text =
      fmt::format("{:<40}{:>10}{:>10}{:>10}\n", "ms per micro-batch", "limit", "good", "first cut");
  for (const auto& [group, seconds] : by_group(plan)) {
    text += row(group, seconds, 1e-3);
    if (!with_ops) continue;
    for (const OpTime& t : plan.ops)
      if (t.op.group == group)
        text += row(fmt::format("  {:.0f} x {}", t.op.times, t.op.name), t.seconds, 1e-3);
  }
  return text + row("together", plan.micro_batch_s, 1e-3) + "\n";
}

std::string step_table(const Plan& plan, const Config& config) {
  const Columns& step = plan.step_s;
  std::string text = fmt::format("{:<40}{:>10}{:>10}{:>10}\n", "s per step", "limit", "good", "first cut");
  text += row(fmt::format("compute, micro-batches: {}", plan.micro_steps), plan.compute_s, 1, "{:>10.3f}");
  text += row("optimizer", plan.optimizer_s, 1, "{:>10.3f}");
  text += row("communication, not overlapped", plan.communication_s, 1, "{:>10.3f}");
  text += row("together", step, 1, "{:>10.3f}");
  text += row("tokens/s", each(step, [&](double s) { return plan.tokens_per_step() / s; }), 1, "{:>10.0f}");
  text +=
      row("share of the peak (MFU), %", each(step, [&](double s) { return plan.mfu(s); }), 0.01, "{:>10.1f}");
  return text + row(fmt::format("days for {} steps", config.train.steps),
                    each(step, [&](double s) { return s * double(config.train.steps); }), kDay);
}

ordered_json json_of(const Columns& c) {
  return {{"limit", c.limit}, {"good", c.good}, {"first_cut", c.first}};
}

ordered_json time_json(const Plan& plan, const Config& config) {
  const Columns& step = plan.step_s;
  return {{"micro_batch_s", json_of(plan.micro_batch_s)},
          {"compute_s", json_of(plan.compute_s)},
          {"optimizer_s", json_of(plan.optimizer_s)},
          {"communication_s", json_of(plan.communication_s)},
          {"step_s", json_of(step)},
          {"tokens_per_s", json_of(each(step, [&](double s) { return plan.tokens_per_step() / s; }))},
          {"mfu", json_of(each(step, [&](double s) { return plan.mfu(s); }))},
          {"days", json_of(each(step, [&](double s) { return s * double(config.train.steps) / kDay; }))}};
}

}  // namespace

const char* name_of(Recompute recompute) {
  switch (recompute) {
    case Recompute::none:
      return "none";
    case Recompute::lean:
      return "lean";
    case Recompute::experts:
      return "experts";
    case Recompute::layer:
      return "layer";
  }
  return "?";
}

std::string to_text(const Plan& plan, const Config& config, bool with_ops) {
  return header(plan, config) + memory_table(plan) + time_table(plan, with_ops) + step_table(plan, config);
}

ordered_json to_json(const Plan& plan, const Config& config) {
  const Layout& l = plan.layout;
  ordered_json memory = ordered_json::object(), ops = ordered_json::array();
  for (const MemoryItem& item : plan.memory) memory[item.name] = item.bytes;
  memory["together"] = total_of(plan.memory);
  for (const OpTime& t : plan.ops)
    ops.push_back({{"op", t.op.name},
                   {"group", t.op.group},
                   {"times", t.op.times},
                   {"flops", t.op.flops},
                   {"bytes", t.op.bytes},
                   {"s", json_of(t.seconds)}});
  return {{"measured", false},
          {"gpu", l.gpu->name},
          {"gpus", l.gpus},
          {"micro_batch", l.micro_batch},
          {"micro_steps", plan.micro_steps},
          {"zero", l.zero},
          {"expert_parallel", l.expert_parallel},
          {"dtype", rmoe::name_of(l.dtype)},
          {"recompute", name_of(l.recompute)},
          {"parameters", {{"total", plan.sizes.parameters.total}, {"active", plan.sizes.parameters.active}}},
          {"flops_per_token", plan.sizes.flops_per_token},
          {"flops_per_step", plan.flops_per_step()},
          {"memory_bytes", memory},
          {"memory_of_gpu", l.gpu->memory_bytes},
          {"fits", plan.fits()},
          {"largest_micro_batch", plan.largest_micro_batch},
          {"time", time_json(plan, config)},
          {"ops", ops}};
}

}  // namespace rmoe::plan
