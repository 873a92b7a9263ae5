#include "train/analysis/router_gradients.hpp"

#include "ops/grad_norm/grad_norm.hpp"

#include <charconv>

namespace rmoe {
namespace {

/// One tensor per parameter, undefined where no gradient arrived; the model's are cleared.
Tensors take_gradients(Parameters& parameters) {
  Tensors grads;
  for (Parameter& p : parameters) {
    const bool wanted = is_router_parameter(p.name) && p.var.grad();
    grads.push_back(wanted ? clone(p.var.grad()) : Tensor());
    p.var.zero_grad();
  }
  return grads;
}

Tensor sum_of(const Tensor& a, const Tensor& b) {
  if (!a || !b) return a ? a : b;
  const Tensor sum = clone(a);
  accumulate(sum, b);
  return sum;
}

/// The layer of "layers.3.moe.router...", or -1.
int64_t layer_of(const std::string& name) {
  constexpr std::string_view kPrefix = "layers.";
  int64_t layer = -1;
  if (name.starts_with(kPrefix))
    std::from_chars(name.data() + kPrefix.size(), name.data() + name.size(), layer);
  return layer;
}

struct Pulls {
  Tensors total, lm, balance;

  void add(const Tensor& of_lm, const Tensor& of_balance) {
    total.push_back(sum_of(of_lm, of_balance));
    lm.push_back(of_lm);
    balance.push_back(of_balance);
  }
  GradientNorms norms() const {
    return {global_norm(total).item(), global_norm(lm).item(), global_norm(balance).item()};
  }
};

void operator+=(GradientNorms& a, const GradientNorms& b) {
  a.total += b.total;
  a.lm += b.lm;
  a.balance += b.balance;
}

GradientNorms operator/(const GradientNorms& a, double n) { return {a.total / n, a.lm / n, a.balance / n}; }

}  // namespace

bool is_router_parameter(const std::string& name) {
  return name.find(".router.") != name.npos || name.starts_with("router_cell.");
}

RouterGradients router_gradients(Model& model, const Tensor& inputs, const Tensor& targets,
                                 const Memory& memory) {
  Parameters& parameters = model.parameters();
  for (Parameter& p : parameters) p.var.zero_grad();
  backward(token_loss(model(inputs, memory, {}), targets));
  const Tensors lm = take_gradients(parameters);
  if (const Var router = losses(model(inputs, memory, {}), targets, model.router()).router) backward(router);
  const Tensors balance = take_gradients(parameters);

  Pulls all;
  const int64_t first = model.config().dense_layers;
  std::vector<Pulls> layers(model.config().layers - first);
  for (size_t i = 0; i < parameters.size(); ++i) {
    all.add(lm[i], balance[i]);  // the gradient of a sum is the sum of the gradients
    if (const int64_t layer = layer_of(parameters[i].name); layer >= first)  // a dense layer has no router
      layers[layer - first].add(lm[i], balance[i]);
  }
  RouterGradients result{all.norms(), {}, 1};
  for (const Pulls& layer : layers) result.per_layer.push_back(layer.norms());
  return result;
}

RouterGradients mean_of(const std::vector<RouterGradients>& blocks) {
  RouterGradients mean;
  if (blocks.empty()) return mean;
  const double n = double(blocks.size());
  mean.per_layer.resize(blocks[0].per_layer.size());
  for (const RouterGradients& block : blocks) {
    mean.all += block.all / n;
    for (size_t i = 0; i < mean.per_layer.size(); ++i) mean.per_layer[i] += block.per_layer[i] / n;
    mean.blocks += block.blocks;
  }
  return mean;
}

}  // namespace rmoe
