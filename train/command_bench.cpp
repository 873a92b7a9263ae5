#include "engine/memory.hpp"
#include "engine/parallel.hpp"
#include "train/command_options.hpp"
#include "train/commands.hpp"
#include "train/peak.hpp"
#include "train/step.hpp"

#include <algorithm>
#include <chrono>
#include <fmt/core.h>
#include <nlohmann/json.hpp>
#include <sys/resource.h>

namespace rmoe {
namespace {

struct Options {
  std::vector<std::string> configs;
  std::vector<std::string> routers = {"smoe", "rmoe"};
  std::vector<std::string> overrides;
  int64_t batch = 4, block = 512, steps = 5;
  bool json = false;
  MachineOptions machine;
};

double seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// Pages the system had to bring in for this process so far.
int64_t page_faults() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_minflt + usage.ru_majflt;
}

/// Tokens that look like nothing: speed does not depend on them, beyond how evenly they spread over the
/// experts.
std::vector<int32_t> random_tokens(int64_t n, int64_t vocab) {
  std::vector<int32_t> tokens(n);
  for (int64_t i = 0; i < n; ++i) tokens[i] = int32_t(uniform_at(1, hash("bench"), i) * float(vocab));
  return tokens;
}

/// What some whole training steps took.
struct Measured {
  std::string model, router;
  double best_s, median_s, tokens_per_s, flops, share_of_peak;
  int64_t peak_bytes, system_calls, page_faults;
};

Measured measure_steps(Config config, const Options& o, double peak) {
  config.train.batch = o.batch;
  config.train.block = o.block;
  config.train.micro_batches = 1;
  if (config.model.vocab == 0) config.model.vocab = 205;
  const int64_t tokens = o.batch * o.block;
  const Tokens text = random_tokens(tokens * (o.steps + 4), config.model.vocab);
  TrainState state(config, std::make_unique<BatchStream>(text, o.batch, o.block, config.train.seed));
  train_step(state, config);  // takes the memory from the system; not counted
  const int64_t faults = page_faults(), system_calls = memory::stats(Device::cpu).system_calls;
  std::vector<double> times;
  double flops = 0;
  for (int64_t i = 0; i < o.steps; ++i) {
    const double start = seconds();
    flops = train_step(state, config).flops;
    times.push_back(seconds() - start);
  }
  std::sort(times.begin(), times.end());
  const double median = times[times.size() / 2];
  const memory::Stats stats = memory::stats(Device::cpu);
  return {.model = config.model.kind,
          .router = config.router.name,
          .best_s = times[0],
          .median_s = median,
          .tokens_per_s = double(tokens) / median,
          .flops = flops,
          .share_of_peak = flops / median / peak,
          .peak_bytes = stats.peak,
          .system_calls = stats.system_calls - system_calls,
          .page_faults = page_faults() - faults};
}

constexpr double kMiB = 1 << 20;

void print_row(const Measured& m) {
  fmt::print("{:<6} {:<6} {:>9.1f} {:>9.1f} {:>9.0f} {:>10.1f} {:>10.1f} {:>6.1f} % {:>8.0f} {:>6} {:>6}\n",
             m.model, m.router, 1e3 * m.best_s, 1e3 * m.median_s, m.tokens_per_s, m.flops / 1e9,
             m.flops / m.median_s / 1e9, 100 * m.share_of_peak, double(m.peak_bytes) / kMiB, m.system_calls,
             m.page_faults);
}

void print_json(const Measured& m) {
  const nlohmann::ordered_json json{{"model", m.model},
                                    {"router", m.router},
                                    {"best_ms", 1e3 * m.best_s},
                                    {"median_ms", 1e3 * m.median_s},
                                    {"tokens_per_s", m.tokens_per_s},
                                    {"flops", m.flops},
                                    {"share_of_peak", m.share_of_peak},
                                    {"peak_mib", double(m.peak_bytes) / kMiB},
                                    {"system_allocations", m.system_calls},
                                    {"page_faults", m.page_faults}};
  fmt::print("{}\n", json.dump());
}

void print_header(const Options& o, double peak) {
  fmt::print("{} thread(s), measured fp32 peak {:.1f} GFLOP/s, batch {} x {}, {} steps after one\n",
             thread_count(), peak / 1e9, o.batch, o.block, o.steps);
  fmt::print("{:<6} {:<6} {:>9} {:>9} {:>9} {:>10} {:>10} {:>8} {:>8} {:>6} {:>6}\n", "model", "router",
             "best ms", "median", "tokens/s", "GFLOP/step", "GFLOP/s", "of peak", "MiB", "allocs", "faults");
}

int run_bench_step(const Options& o) {
  o.machine.apply();
  const double peak = measure_gemm_peak();
  if (!o.json) print_header(o, peak);
  for (const std::string& path : o.configs)
    for (const std::string& router : o.routers) {
      std::vector<std::string> overrides = o.overrides;
      overrides.push_back("router.name=" + router);
      const Measured m = measure_steps(load_config(path, overrides), o, peak);
      o.json ? print_json(m) : print_row(m);
    }
  return 0;
}

}  // namespace

void add_bench(CLI::App& app, Action& run) {
  const auto o = std::make_shared<Options>();
  CLI::App* bench = app.add_subcommand("bench", "Measure speed against this machine's peak");
  bench->require_subcommand(1);
  CLI::App* step = bench->add_subcommand("step", "Whole training steps");
  step->add_option("CONFIGS", o->configs, "configs to measure")->required();
  step->add_option("--routers", o->routers, "routers to measure")->delimiter(',');
  step->add_option("--set", o->overrides, "override a setting: section.key=value")->type_name("A.B=V");
  step->add_option("--batch", o->batch, "streams")->check(CLI::PositiveNumber);
  step->add_option("--block", o->block, "tokens of each stream")->check(CLI::PositiveNumber);
  step->add_option("--steps", o->steps, "steps to time")->check(CLI::PositiveNumber);
  step->add_flag("--json", o->json, "print one JSON object per line");
  o->machine.add_to(*step);
  step->callback([o, &run] { run = [o] { return run_bench_step(*o); }; });
}

}  // namespace rmoe
