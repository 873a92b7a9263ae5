#include "train/peak.hpp"

#include "engine/cuda/backend.hpp"
#include "engine/parallel.hpp"
#include "engine/tensor.hpp"
#include "ops/linear/linear.hpp"

#include <algorithm>
#include <chrono>

namespace rmoe {
namespace {

#if defined(__AVX512F__)
constexpr int kLanes = 16;
#elif defined(__AVX__)
constexpr int kLanes = 8;
#else
constexpr int kLanes = 4;
#endif
// Enough independent chains to hide a latency of 4 to 5 cycles on two units; with both factors they fit 16
// registers.
constexpr int kChains = 12;
constexpr double kFlops = 2.0 * kLanes * kChains;  // per iteration

using Vector [[gnu::vector_size(kLanes * sizeof(float))]] = float;

/// Its result depends on every chain, or the compiler would drop them.
[[gnu::noinline]] float multiply_add(int64_t iterations) {
  const Vector factor = Vector{} + 0.999f, term = Vector{} + 0.001f;  // towards 1: no denormals, no overflow
  Vector chain[kChains];
  for (int i = 0; i < kChains; ++i) chain[i] = Vector{} + static_cast<float>(i + 2);
  for (int64_t n = 0; n < iterations; ++n) {
#pragma GCC unroll 12
    for (int i = 0; i < kChains; ++i) chain[i] = chain[i] * factor + term;
  }
  Vector sum{};
  for (const Vector& c : chain) sum += c;
  return sum[0];
}

double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

/// FLOP/s of the calling thread in its best piece: one that no other program interrupted.
double rate_of_this_thread() {
  constexpr int64_t kPiece = 1 << 16;  // iterations: well below a millisecond
  constexpr double kDuration = 0.02;   // s
  [[maybe_unused]] volatile float result = 0;
  double best = kDuration;
  const auto begin = std::chrono::steady_clock::now();
  while (seconds_since(begin) < kDuration) {
    const auto piece_begin = std::chrono::steady_clock::now();
    result = multiply_add(kPiece);
    best = std::min(best, seconds_since(piece_begin));
  }
  return kFlops * kPiece / best;
}

}  // namespace

double measure_gemm_peak() {
  // Rates are added up, not the time of all threads taken: on a busy machine that would measure its other
  // users.
  double sum = 0;
  const int threads = std::min(thread_count(), omp_get_num_procs());
#pragma omp parallel for num_threads(threads) reduction(+ : sum)
  for (int thread = 0; thread < threads; ++thread) sum += rate_of_this_thread();
  return sum;
}

double measure_peak(Device device, DType dtype) {
  if (device != Device::cuda) return measure_gemm_peak();
  constexpr int64_t kSize = 2048;
  const NoGrad guard;
  const Var a(zeros({kSize, kSize}, dtype, device)), b(zeros({kSize, kSize}, dtype, device));
  double best = 0;
  for (int i = 0; i < 4; ++i) {  // the first chooses an algorithm
    cuda::synchronize();
    const auto begin = std::chrono::steady_clock::now();
    const Var c = linear(a, b, {});
    cuda::synchronize();
    best = std::max(best, 2.0 * kSize * kSize * kSize / seconds_since(begin));
  }
  return best;
}

double measure_bandwidth() {
  constexpr int64_t kNumbers = 16 << 20, kChunk = 1 << 16;  // 64 MiB an array
  constexpr int kRuns = 4;
  const Tensor a = full({kNumbers}, 0, DType::f32), b = full({kNumbers}, 1, DType::f32),
               c = full({kNumbers}, 2, DType::f32);
  float* to = a.data<float>();
  const float *x = b.data<float>(), *y = c.data<float>();
  double best = 1;
  for (int run = 0; run < kRuns; ++run) {
    const auto start = std::chrono::steady_clock::now();
    parallel_chunks(kNumbers, kChunk, [=](int64_t begin, int64_t end) {
#pragma omp simd
      for (int64_t i = begin; i < end; ++i) to[i] = x[i] + 3.0f * y[i];
    });
    best = std::min(best, seconds_since(start));
  }
  return 3.0 * sizeof(float) * kNumbers / best;
}

}  // namespace rmoe
