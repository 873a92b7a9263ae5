// Options that several subcommands share.
#pragma once

#include "engine/device.hpp"
#include "train/config.hpp"

#include <CLI/CLI.hpp>

namespace rmoe {

/// CONFIG with --router, --set, --seed and --threads: what makes a Config.
struct ConfigOptions {
  std::string path;
  std::string router;
  std::vector<std::string> overrides;
  int64_t seed = -1;

  void add_to(CLI::App& command, const char* what = "CONFIG");
  Config load(const Config& base = {}) const;
};

/// --threads and --device.
struct MachineOptions {
  int threads = 0;
  std::string device = "cpu";

  void add_to(CLI::App& command);
  /// Returns the device to compute on. Where a GPU is asked of a program without the CUDA backend, the one
  /// beside it that has it, rmoe-cuda, takes over. For a command that runs on the CPU alone, `command` names
  /// it and a GPU is refused.
  Device apply(const char* cpu_only_command = nullptr) const;
};

}  // namespace rmoe
