#include "train/account.hpp"

#include "engine/flops.hpp"
#include "engine/memory.hpp"
#include "train/optimizer.hpp"

namespace rmoe {

Account account_for(const Config& config) {
  const auto in_use = [] { return memory::stats(Device::meta).in_use; };
  const int64_t B = config.train.batch, part = config.train.largest_part(), T = config.train.block;
  const int64_t start = in_use();
  Account account;

  Model model(config.model, config.router, 1, DType::f32, Device::meta);
  account.parameters = count_parameters(model);
  account.parameter_bytes = in_use() - start;

  for (Parameter& p : model.parameters()) p.var.reserve_grad();
  account.gradient_bytes = in_use() - start - account.parameter_bytes;

  const int64_t before_optimizer = in_use();
  const Optimizer optimizer(config.optimizer, model.parameters());
  account.optimizer_bytes = in_use() - before_optimizer;

  const Memory memory = model.initial_memory(B);
  account.memory_bytes = in_use() - before_optimizer - account.optimizer_bytes;

  memory::reset_peak(Device::meta);
  const double flops = flops_counted();
  const Tensor tokens = empty({part, T}, DType::i32, Device::meta);
  Memory rows;
  for (const Tensor& m : memory) rows.push_back(m.rows(0, part));
  backward(
      losses(model(tokens, rows, {.training = true, .limit_experts = true}), tokens, config.router).total);
  account.flops_per_token = (flops_counted() - flops) / double(part * T);
  account.peak_bytes = memory::stats(Device::meta).peak - start;
  account.activation_bytes = account.peak_bytes - account.parameter_bytes - account.optimizer_bytes -
                             account.memory_bytes - account.gradient_bytes;
  return account;
}

}  // namespace rmoe
