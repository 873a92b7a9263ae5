#include "train/command_options.hpp"

#include "engine/comm/launch_ranks.hpp"
#include "engine/cuda/backend.hpp"
#include "engine/error.hpp"
#include "engine/parallel.hpp"

#include <unistd.h>

namespace rmoe {
namespace {

/// Runs rmoe-cuda with the same arguments in this process's place, if it lies beside this program. The
/// vendor's libraries take long to load and may be missing: a program that needs no GPU is better off without
/// them.
void become_program_with_cuda() {
  const std::filesystem::path program =
      std::filesystem::read_symlink("/proc/self/exe").replace_filename("rmoe-cuda");
  if (!std::filesystem::exists(program)) return;
  std::vector<std::string> arguments = own_command();
  std::vector<char*> pointers;
  for (std::string& argument : arguments) pointers.push_back(argument.data());
  pointers.push_back(nullptr);
  execv(program.c_str(), pointers.data());
}

}  // namespace

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

Device MachineOptions::apply(const char* cpu_only_command) const {
  if (threads > 0) set_thread_count(threads);
  if (device == "cpu") return Device::cpu;
  if (cpu_only_command)
    throw UsageError(concat("--device cuda: ", cpu_only_command, " runs on the CPU only"));
  if (!cuda::linked()) become_program_with_cuda();
  if (!cuda::available())
    throw UsageError(concat("--device cuda: ", cuda::why_unavailable(), "; use --device cpu"));
  return Device::cuda;
}

}  // namespace rmoe
