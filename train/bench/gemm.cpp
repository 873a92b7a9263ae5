#include "engine/gemm.hpp"

#include "engine/gemm_kernel.hpp"
#include "engine/parallel.hpp"
#include "engine/tensor.hpp"
#include "train/bench/bench.hpp"
#include "train/peak.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <fmt/core.h>
#include <nlohmann/json.hpp>

namespace rmoe {
namespace {

struct Size {
  const char* what;
  int64_t m, n, k;
  Trans ta, tb;
};

constexpr auto kNo = Trans::no, kYes = Trans::yes;

/// What enwik8-medium and llama-small multiply at batch 4 x 512.
constexpr Size kSizes[] = {
    {"lm q", 2048, 352, 352, kNo, kYes},
    {"lm k, memory and block", 10240, 352, 352, kNo, kYes},
    {"lm dx", 2048, 352, 352, kNo, kNo},
    {"lm dw of q", 352, 352, 2048, kYes, kNo},
    {"lm dw of k", 352, 352, 10240, kYes, kNo},
    {"lm expert", 256, 352, 352, kNo, kYes},
    {"lm dw of an expert", 352, 352, 256, kYes, kNo},
    {"lm head", 2048, 205, 352, kNo, kYes},
    {"router projector", 2048, 128, 352, kNo, kYes},
    {"router gates", 2048, 384, 128, kNo, kYes},
    {"dw of gates", 384, 128, 2048, kYes, kNo},
    {"router head", 2048, 16, 128, kNo, kYes},
    {"llama q", 2048, 320, 320, kNo, kYes},
    {"llama expert w1", 512, 112, 320, kNo, kYes},
    {"llama expert w2", 512, 320, 112, kNo, kYes},
    {"llama dw of w1", 112, 320, 512, kYes, kNo},
};

/// FLOP/s of the best of several runs within a quarter of a second.
double measure(const Size& s) {
  using Clock = std::chrono::steady_clock;
  const Tensor a = full({s.m * s.k}, 1, DType::f32), b = full({s.n * s.k}, 1, DType::f32),
               c = full({s.m * s.n}, 0, DType::f32);
  double best = INFINITY;
  for (const auto begin = Clock::now(); Clock::now() - begin < std::chrono::milliseconds(250);) {
    const auto start = Clock::now();
    gemm<float>(s.ta, s.tb, s.m, s.n, s.k, a.data<float>(), s.ta == kYes ? s.m : s.k, b.data<float>(),
                s.tb == kYes ? s.k : s.n, 0, c.data<float>(), s.n);
    best = std::min(best, std::chrono::duration<double>(Clock::now() - start).count());
  }
  return 2.0 * double(s.m) * double(s.n) * double(s.k) / best;
}

}  // namespace

int bench_gemm(const BenchOptions& o) {
  o.machine.apply("bench");
  const double peak = measure_gemm_peak();
  if (!o.json) {
    fmt::print("{} thread(s), measured fp32 peak {:.1f} GFLOP/s, kernel {}\n", thread_count(), peak / 1e9,
               gemm_kernel::available<float>()[0]->name);
    fmt::print("{:<24} {:>6} {:>5} {:>6} {:>5} {:>9} {:>9}\n", "product", "m", "n", "k", "", "GFLOP/s",
               "of peak");
  }
  double log_sum = 0;
  for (const Size& s : kSizes) {
    const double rate = measure(s);
    log_sum += std::log(rate / peak) / double(std::size(kSizes));
    const std::string transposes = {s.ta == kYes ? 'T' : 'N', s.tb == kYes ? 'T' : 'N'};
    if (o.json)
      fmt::print("{}\n", nlohmann::ordered_json{{"product", s.what},
                                                {"m", s.m},
                                                {"n", s.n},
                                                {"k", s.k},
                                                {"transposes", transposes},
                                                {"flops_per_s", rate},
                                                {"share_of_peak", rate / peak}}
                             .dump());
    else
      fmt::print("{:<24} {:>6} {:>5} {:>6} {:>5} {:>9.1f} {:>7.1f} %\n", s.what, s.m, s.n, s.k, transposes,
                 rate / 1e9, 100 * rate / peak);
  }
  if (!o.json) fmt::print("{:<49} {:>19.1f} %\n", "geometric mean", 100 * std::exp(log_sum));
  return 0;
}

}  // namespace rmoe
