// A debug dump of one forward and backward pass, for checking our arithmetic against anybody else's.
#pragma once

#include "models/model.hpp"
#include "train/safetensors.hpp"

namespace rmoe {

/// `tokens` i32 [B,T+1]: inputs are the first T, targets the last T. Dropout off, but experts have training's
/// capacity. Gives loss, aux_loss (load balance), z_loss if it has a weight, logits [B,T,V]; per layer with
/// experts layers.{i}.{router_logits,gates,experts}, and layers.{i}.output; grad.<key> of loss +
/// balance_weight * aux_loss + z_loss_weight * z_loss.
std::vector<NamedTensor> trace(Model& model, const Tensor& tokens, const Memory& memory);

/// Splits tokens [B,T+1] into inputs and targets [B,T].
std::pair<Tensor, Tensor> inputs_and_targets(const Tensor& tokens);

}  // namespace rmoe
