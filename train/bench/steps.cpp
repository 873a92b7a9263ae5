#include "engine/memory.hpp"
#include "engine/parallel.hpp"
#include "train/bench/bench.hpp"
#include "train/peak.hpp"
#include "train/step.hpp"
#include "train/step_memory.hpp"

#include <algorithm>
#include <chrono>
#include <fmt/core.h>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sys/resource.h>

namespace rmoe {
namespace {

double seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// Pages the system had to bring in for this process so far.
int64_t page_faults() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_minflt + usage.ru_majflt;
}

/// The most memory that the process has had so far. (Not from getrusage: that counts what the parent had when
/// it started this process.)
double peak_rss_bytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("VmHWM:")) return 1024 * std::stod(line.substr(6));
  return 0;
}

/// What some whole training steps took.
struct Measured {
  std::string model, router;
  double best_s, median_s, tokens_per_s, flops, share_of_peak;
  double peak_bytes, reserved_bytes, peak_rss;
  int64_t system_calls, page_faults;
};

Measured measure_steps(const Config& config, const BenchOptions& o, Device device) {
  const double peak = measure_peak(device, storage_type(config.train, device));
  const Tokens text = bench_tokens(config, o.steps + 3);
  if (device == Device::cuda) reserve_for_training(config, alone());
  memory::reset_peak(device);
  TrainState state(config, std::make_unique<BatchStream>(text, o.batch, o.block, config.train.seed), device);
  train_step(state, config);  // takes the memory from the system; not counted
  const int64_t faults = page_faults(), system_calls = memory::stats(device).system_calls;
  std::vector<double> times;
  double flops = 0;
  for (int64_t i = 0; i < o.steps; ++i) {
    const double start = seconds();
    flops = train_step(state, config).flops;
    times.push_back(seconds() - start);
  }
  std::sort(times.begin(), times.end());
  const double median = times[times.size() / 2];
  const memory::Stats stats = memory::stats(device);
  return {.model = config.model.kind,
          .router = config.router.name,
          .best_s = times[0],
          .median_s = median,
          .tokens_per_s = double(o.batch * o.block) / median,
          .flops = flops,
          .share_of_peak = flops / median / peak,
          .peak_bytes = double(stats.peak),
          .reserved_bytes = double(stats.reserved),
          .peak_rss = peak_rss_bytes(),
          .system_calls = stats.system_calls - system_calls,
          .page_faults = page_faults() - faults};
}

constexpr double kMiB = 1 << 20;

void print_row(const Measured& m) {
  fmt::print("{:<6} {:<6} {:>9.1f} {:>9.1f} {:>9.0f} {:>10.1f} {:>10.1f} {:>6.1f} % {:>8.0f} {:>6} {:>6}\n",
             m.model, m.router, 1e3 * m.best_s, 1e3 * m.median_s, m.tokens_per_s, m.flops / 1e9,
             m.flops / m.median_s / 1e9, 100 * m.share_of_peak, m.peak_bytes / kMiB, m.system_calls,
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
                                    {"peak_mib", m.peak_bytes / kMiB},
                                    {"reserved_mib", m.reserved_bytes / kMiB},
                                    {"peak_rss_mib", m.peak_rss / kMiB},
                                    {"system_allocations", m.system_calls},
                                    {"page_faults", m.page_faults}};
  fmt::print("{}\n", json.dump());
}

void print_header(const BenchOptions& o, double peak) {
  fmt::print("{} thread(s), measured fp32 peak {:.1f} GFLOP/s, batch {} x {}, {} steps after one\n",
             thread_count(), peak / 1e9, o.batch, o.block, o.steps);
  fmt::print("{:<6} {:<6} {:>9} {:>9} {:>9} {:>10} {:>10} {:>8} {:>8} {:>6} {:>6}\n", "model", "router",
             "best ms", "median", "tokens/s", "GFLOP/step", "GFLOP/s", "of peak", "MiB", "allocs", "faults");
}

}  // namespace

Config bench_config(const std::string& path, const std::string& router, const BenchOptions& o) {
  std::vector<std::string> overrides = o.overrides;
  overrides.push_back("router.name=" + router);
  Config config = load_config(path, overrides);
  config.train.batch = o.batch;
  config.train.block = o.block;
  config.train.micro_batches = 1;
  if (config.model.vocab == 0) config.model.vocab = 205;
  return config;
}

Tokens bench_tokens(const Config& config, int64_t steps) {
  std::vector<int32_t> tokens(config.train.batch * config.train.block * (steps + 1));
  for (size_t i = 0; i < tokens.size(); ++i)
    tokens[i] = int32_t(uniform_at(1, hash("bench"), i) * float(config.model.vocab));
  return tokens;
}

int bench_steps(const BenchOptions& o) {
  const Device device = o.machine.apply();
  if (!o.json) print_header(o, measure_peak(device, DType::f32));
  for (const std::string& path : o.configs)
    for (const std::string& router : o.routers) {
      const Measured m = measure_steps(bench_config(path, router, o), o, device);
      o.json ? print_json(m) : print_row(m);
    }
  return 0;
}

}  // namespace rmoe
