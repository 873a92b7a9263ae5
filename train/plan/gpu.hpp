// The GPUs that `rmoe plan` knows: what their makers state, and what NCCL reaches between eight of them.
#pragma once

#include "engine/dtype.hpp"

#include <string>

namespace rmoe::plan {

struct Gpu {
  const char* name;  // as --gpu takes it
  const char* title;
  double memory_bytes;
  double bf16_flops, f32_flops;  // per second, dense; f32 is not TF32
  double memory_rate;            // bytes/s
  double link_rate;              // bytes/s: bus bandwidth of a collective among the eight of a node

  double flops(DType dtype) const { return dtype == DType::bf16 ? bf16_flops : f32_flops; }
};

/// A UsageError lists the names if there is none such.
const Gpu& find_gpu(const std::string& name);

}  // namespace rmoe::plan
