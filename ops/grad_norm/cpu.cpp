#include "engine/parallel.hpp"
#include "engine/scratch.hpp"
#include "ops/grad_norm/kernels.hpp"

#include <numeric>

namespace rmoe::cpu {
namespace {

template <class T>
double sum_of_squares(const T* g, int64_t n) {
  double sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < n; ++i) sum += double(g[i]) * double(g[i]);
  return sum;
}

}  // namespace

template <class T>
void grad_norm_squares(double* sum, const T* g, int64_t n) {
  constexpr int64_t kChunk = 1 << 14;
  const int64_t chunks = (n + kChunk - 1) / kChunk;
  const Scratch<double> partials(chunks);
  parallel_chunks(n, kChunk, [&](int64_t begin, int64_t end) {
    partials[begin / kChunk] = sum_of_squares(g + begin, end - begin);
  });
  *sum = std::accumulate(partials.data(), partials.data() + chunks, 0.0);
}

#define RMOE_INSTANTIATE(T) template void grad_norm_squares<T>(double*, const T*, int64_t);

RMOE_INSTANTIATE(float)
RMOE_INSTANTIATE(double)

}  // namespace rmoe::cpu
