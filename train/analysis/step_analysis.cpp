#include "train/analysis/step_analysis.hpp"

#include "ops/grad_norm/grad_norm.hpp"
#include "train/analysis/router_gradients.hpp"
#include "train/analysis/weight_statistics.hpp"

#include <algorithm>

namespace rmoe {
namespace {

double router_grad_norm(const Model& model) {
  Tensors grads;
  for (const Parameter& p : model.parameters())
    if (is_router_parameter(p.name)) grads.push_back(p.var.grad());
  return global_norm(grads).item();
}

/// The choices of the routers where they can be looked at.
std::vector<LayerStats> on_cpu(std::vector<LayerStats> layers) {
  for (auto& [routing, output] : layers) {
    if (!routing.probs) continue;
    routing.probs = Var(to(routing.probs.value(), Device::cpu));
    routing.experts = to(routing.experts, Device::cpu);
  }
  return layers;
}

}  // namespace

void StepAnalysis::add(const std::vector<LayerStats>& all) {
  const std::vector<LayerStats> layers = on_cpu(all);
  information_.add(gate_probabilities(layers, kMutualInformationTokens - information_.tokens()));
  gates_.add(layers);
}

std::vector<Metric> StepAnalysis::metrics(const Model& model) const {
  const Balance balance = gates_.balance();
  std::vector<double> busiest;
  for (const auto& shares : gates_.expert_frequency()) busiest.push_back(std::ranges::max(shares));
  std::vector<Metric> metrics{{"mutual_information", information_.mean()},
                              {"router_grad_norm", router_grad_norm(model)},
                              {"gate_entropy", gates_.entropy().mean},
                              {"inner_balance", balance.inner_per_layer},
                              {"outer_balance", balance.outer_per_layer},
                              {"expert_share", busiest},
                              {"router_weight_norm", router_weights(model).norm},
                              {"expert_similarity", expert_similarity(model).per_layer}};
  if (model.router().capacity_factor > 0) metrics.push_back({"drop_ratio", gates_.drop_ratio()});
  return metrics;
}

}  // namespace rmoe
