// How a model is laid out over GPUs: the choices that `rmoe plan` is asked about.
#pragma once

#include "train/plan/gpu.hpp"

#include <cstdint>

namespace rmoe::plan {

/// What is kept of a layer for its backward pass, from most to least; the rest is computed again.
enum class Recompute {
  none,     // everything an unfused program keeps: norm outputs, gathered rows, gates of the cell
  lean,     // residuals, q k v, attention output, the experts' first products, statistics, router state
  experts,  // lean without the experts' first products
  layer     // a layer's input and router state alone
};

struct Layout {
  const Gpu* gpu = nullptr;
  int64_t gpus = 1;
  int64_t micro_batch = 0;      // streams per GPU at a time; 0: to be chosen
  int zero = 0;                 // 1: master weights and moments are cut among the GPUs (ZeRO-1)
  int64_t expert_parallel = 1;  // GPUs that share one set of experts
  DType dtype = DType::bf16;    // of weights and activations; bf16 has fp32 master weights
  Recompute recompute = Recompute::lean;
};

}  // namespace rmoe::plan
