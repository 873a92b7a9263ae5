#include "train/plan/gpu.hpp"

#include "engine/error.hpp"

#include <algorithm>

namespace rmoe::plan {
namespace {

// Bus bandwidths: A100 232 GB/s (NVIDIA/nccl-tests#175), Hopper 370 GB/s (NVIDIA/nccl-tests#212).
constexpr Gpu kGpus[] = {
    {"a100-80", "A100 SXM 80 GB", 80e9, 312e12, 19.5e12, 2.0e12, 232.5e9},
    {"a100-40", "A100 SXM 40 GB", 40e9, 312e12, 19.5e12, 1.555e12, 232.5e9},
    {"h100-80", "H100 SXM 80 GB", 80e9, 989e12, 67e12, 3.35e12, 370e9},
    {"h200-141", "H200 SXM 141 GB", 141e9, 989e12, 67e12, 4.8e12, 370e9},
};

}  // namespace

const Gpu& find_gpu(const std::string& name) {
  const auto found = std::ranges::find(kGpus, name, &Gpu::name);
  if (found != std::end(kGpus)) return *found;
  std::string known;
  for (const Gpu& gpu : kGpus) known += concat(known.empty() ? "" : ", ", gpu.name);
  throw UsageError(concat("--gpu: there is no \"", name, "\"; known are ", known));
}

}  // namespace rmoe::plan
