#include "engine/parallel.hpp"
#include "engine/profile.hpp"
#include "train/bench/bench.hpp"
#include "train/peak.hpp"
#include "train/step.hpp"

#include <algorithm>
#include <fmt/core.h>
#include <nlohmann/json.hpp>

namespace rmoe {
namespace {

constexpr const char* kPasses[] = {"forward", "backward", "update"};

struct Roofline {
  double flops_per_s, bytes_per_s;
  double seconds(const profile::Line& l) const {
    return std::max(l.flops / flops_per_s, l.bytes / bytes_per_s);
  }
};

void print_table(const std::vector<profile::Line>& lines, const Roofline& roof, double steps) {
  double all = 0, floor = 0;
  for (const profile::Line& l : lines) all += l.seconds;
  fmt::print("{:<22} {:<8} {:>6} {:>9} {:>7} {:>9} {:>7} {:>9} {:>11}\n", "op", "pass", "calls", "ms/step",
             "share", "GFLOP/s", "GB/s", "least ms", "of roofline");
  for (const profile::Line& l : lines) {
    const double least = roof.seconds(l);
    floor += least;
    fmt::print("{:<22} {:<8} {:>6.0f} {:>9.2f} {:>5.1f} % {:>9.1f} {:>7.1f} {:>9.2f} {:>9.0f} %\n", l.op,
               kPasses[int(l.pass)], double(l.calls) / steps, 1e3 * l.seconds / steps, 100 * l.seconds / all,
               l.flops / l.seconds / 1e9, l.bytes / l.seconds / 1e9, 1e3 * least / steps,
               100 * least / l.seconds);
  }
  fmt::print("{:<22} {:<8} {:>6} {:>9.2f} {:>5.1f} % {:>9} {:>7} {:>9.2f} {:>9.0f} %\n\n", "step", "", "",
             1e3 * all / steps, 100.0, "", "", 1e3 * floor / steps, 100 * floor / all);
}

void print_json(const Config& config, const std::vector<profile::Line>& lines, const Roofline& roof,
                double steps) {
  for (const profile::Line& l : lines) {
    const nlohmann::ordered_json json{{"model", config.model.kind},
                                      {"router", config.router.name},
                                      {"op", l.op},
                                      {"pass", kPasses[int(l.pass)]},
                                      {"calls", double(l.calls) / steps},
                                      {"ms", 1e3 * l.seconds / steps},
                                      {"flops", l.flops / steps},
                                      {"bytes", l.bytes / steps},
                                      {"least_ms", 1e3 * roof.seconds(l) / steps}};
    fmt::print("{}\n", json.dump());
  }
}

}  // namespace

int bench_ops(const BenchOptions& o) {
  o.machine.apply("bench");
  const Roofline roof{measure_gemm_peak(), measure_bandwidth()};
  if (!o.json)
    fmt::print(
        "{} thread(s), measured fp32 peak {:.1f} GFLOP/s and bandwidth {:.1f} GB/s, batch {} x {}, "
        "{} steps after one\n\n",
        thread_count(), roof.flops_per_s / 1e9, roof.bytes_per_s / 1e9, o.batch, o.block, o.steps);
  for (const std::string& path : o.configs)
    for (const std::string& router : o.routers) {
      const Config config = bench_config(path, router, o);
      const Tokens text = bench_tokens(config, o.steps + 3);
      TrainState state(config, std::make_unique<BatchStream>(text, o.batch, o.block, config.train.seed));
      train_step(state, config);
      profile::start();
      for (int64_t i = 0; i < o.steps; ++i) train_step(state, config);
      const std::vector<profile::Line> lines = profile::stop();
      if (!o.json) fmt::print("{} {}\n", path, router);
      o.json ? print_json(config, lines, roof, double(o.steps)) : print_table(lines, roof, double(o.steps));
    }
  return 0;
}

}  // namespace rmoe
