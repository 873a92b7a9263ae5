// Options that several subcommands share.
#pragma once

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
  void apply() const;
};

}  // namespace rmoe
