// A debug dump of one forward and backward pass, for checking our arithmetic against anybody else's.
#pragma once

#include "models/model.hpp"
#include "train/safetensors.hpp"

namespace rmoe {

/// `tokens` i32 [B,T+1]: inputs are the first T, targets the last T. Dropout off. Gives loss, aux_loss,
/// logits [B,T,V]; per layer layers.{i}.{router_logits,gates,experts,output}; grad.<key> of loss +
/// balance_weight * aux_loss.
std::vector<NamedTensor> trace(Model& model, const Tensor& tokens, const Memory& memory);

/// Splits tokens [B,T+1] into inputs and targets [B,T].
std::pair<Tensor, Tensor> inputs_and_targets(const Tensor& tokens);

}  // namespace rmoe
