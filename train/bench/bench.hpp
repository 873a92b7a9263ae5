// What `rmoe bench` measures. Everything is a share of what this machine was measured to be able to do in the
// same process.
#pragma once

#include "data/stream.hpp"
#include "train/command_options.hpp"

#include <string>
#include <vector>

namespace rmoe {

struct BenchOptions {
  std::vector<std::string> configs;
  std::vector<std::string> routers = {"smoe", "rmoe"};
  std::vector<std::string> overrides;
  int64_t batch = 4, block = 512, steps = 5;
  bool json = false;
  MachineOptions machine;
};

/// Whole training steps.
int bench_steps(const BenchOptions& options);
/// The same steps op by op, each beside its roofline: the least time for its products and its bytes.
int bench_ops(const BenchOptions& options);
/// Matrix products of the sizes that the models need.
int bench_gemm(const BenchOptions& options);

/// A config as it is timed: one micro-batch of options.batch streams of options.block tokens.
Config bench_config(const std::string& path, const std::string& router, const BenchOptions& options);
/// Tokens that look like nothing: speed does not depend on them, beyond how evenly they spread over the
/// experts.
Tokens bench_tokens(const Config& config, int64_t steps);

}  // namespace rmoe
