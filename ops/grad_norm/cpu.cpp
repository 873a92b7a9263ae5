#include "engine/parallel.hpp"
#include "engine/scratch.hpp"
#include "ops/grad_norm/kernels.hpp"

#include <cmath>
#include <numeric>

namespace rmoe::cpu {
namespace {

template <class T>
double sum_of_chunk(const T* g, int64_t n) {
  double sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < n; ++i) sum += double(g[i]) * double(g[i]);
  return sum;
}

template <class T>
double sum_of_squares(const T* g, int64_t n) {
  constexpr int64_t kChunk = 1 << 14;
  const int64_t chunks = (n + kChunk - 1) / kChunk;
  const Scratch<double> partials(chunks);
  parallel_chunks(n, kChunk, [&](int64_t begin, int64_t end) {
    partials[begin / kChunk] = sum_of_chunk(g + begin, end - begin);
  });
  return std::accumulate(partials.data(), partials.data() + chunks, 0.0);
}

}  // namespace

template <class T>
void grad_norm_fwd(double* norm, const GradSpan* grads, int64_t count) {
  double squares = 0;
  for (int64_t i = 0; i < count; ++i)
    squares += sum_of_squares(static_cast<const T*>(grads[i].g), grads[i].n);
  *norm = std::sqrt(squares);
}

void joined_norm_fwd(double* norm, const double* norms, int64_t count) {
  double squares = 0;
  for (int64_t i = 0; i < count; ++i) squares += norms[i] * norms[i];
  *norm = std::sqrt(squares);
}

void clip_scale_fwd(double* scale, const double* norm, double most) {
  *scale = most == 0 || *norm <= most ? 1 : most / *norm;
}

template void grad_norm_fwd<float>(double*, const GradSpan*, int64_t);
template void grad_norm_fwd<double>(double*, const GradSpan*, int64_t);

}  // namespace rmoe::cpu
