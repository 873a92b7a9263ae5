#include "train/trace.hpp"

namespace rmoe {
namespace {

/// [N,W] -> [B,T,W]
Tensor per_position(const Tensor& x, int64_t B, int64_t T) { return x.reshape({B, T, x.dim(-1)}); }

}  // namespace

std::pair<Tensor, Tensor> inputs_and_targets(const Tensor& tokens) {
  RMOE_CHECK(tokens.rank() == 2 && tokens.dim(1) >= 2 && tokens.dtype() == DType::i32, "trace: tokens ",
             tokens.dtype(), tokens.shape(), ", wanted i32 [B,T+1] with T >= 1");
  const int64_t B = tokens.dim(0), T = tokens.dim(1) - 1;
  const Tensor inputs = empty_like(tokens, {B, T}), targets = empty_like(tokens, {B, T});
  for (int64_t b = 0; b < B; ++b) {
    const int32_t* row = tokens.data<int32_t>() + b * (T + 1);
    std::copy_n(row, T, inputs.data<int32_t>() + b * T);
    std::copy_n(row + 1, T, targets.data<int32_t>() + b * T);
  }
  return {inputs, targets};
}

std::vector<NamedTensor> trace(Model& model, const Tensor& tokens, const Memory& memory) {
  const auto [inputs, targets] = inputs_and_targets(tokens);
  const int64_t B = inputs.dim(0), T = inputs.dim(1);
  for (Parameter& p : model.parameters()) p.var.zero_grad();
  const ModelOutput output = model(inputs, memory, {.limit_experts = true, .keep_outputs = true});
  const Losses l = losses(output, targets, model.router());
  backward(l.total);

  std::vector<NamedTensor> dump;
  dump.push_back({"loss", l.loss.value()});
  dump.push_back(
      {"aux_loss", l.balance ? l.balance.value() : zeros({}, l.loss.value().dtype(), model.device())});
  if (l.z) dump.push_back({"z_loss", l.z.value()});
  dump.push_back({"logits", output.logits().value()});
  for (size_t i = 0; i < output.layers.size(); ++i) {
    const std::string layer = concat("layers.", i, ".");
    const LayerStats& stats = output.layers[i];
    if (stats.routing.logits) {
      dump.push_back({layer + "router_logits", per_position(stats.routing.logits.value(), B, T)});
      dump.push_back({layer + "gates", per_position(stats.routing.weights, B, T)});
      dump.push_back({layer + "experts", per_position(stats.routing.experts, B, T)});
    }
    dump.push_back({layer + "output", stats.output});
  }
  for (const Parameter& p : model.parameters())
    if (p.var.grad()) dump.push_back({"grad." + p.name, p.var.grad()});
  return dump;
}

}  // namespace rmoe
