#include "train/command_options.hpp"

#include "engine/error.hpp"
#include "engine/parallel.hpp"

namespace rmoe {

void ConfigOptions::add_to(CLI::App& command, const char* what) {
  command.add_option(what, path, "TOML config, e.g. train/configs/demo.toml")->required();
  command.add_option("--router", router, "router preset: short for --set router.name=NAME");
  command.add_option("--set", overrides, "override a setting: section.key=value")->type_name("A.B=V");
  command.add_option("--seed", seed, "short for --set train.seed=N");
}

Config ConfigOptions::load(const Config& base) const {
  std::vector<std::string> all = overrides;
  if (!router.empty()) all.push_back("router.name=" + router);
  if (seed >= 0) all.push_back(concat("train.seed=", seed));
  return load_config(path, all, base);
}

void MachineOptions::add_to(CLI::App& command) {
  command.add_option("--threads", threads, "threads; default: all processors")->check(CLI::PositiveNumber);
  command.add_option("--device", device, "cpu or cuda")->check(CLI::IsMember({"cpu", "cuda"}));
}

void MachineOptions::apply() const {
  if (device == "cuda") throw UsageError("--device cuda: this build has no CUDA backend; use --device cpu");
  if (threads > 0) set_thread_count(threads);
}

}  // namespace rmoe
