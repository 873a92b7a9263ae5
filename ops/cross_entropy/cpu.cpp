#include "engine/error.hpp"
#include "engine/math.hpp"
#include "engine/parallel.hpp"
#include "engine/scratch.hpp"
#include "ops/cross_entropy/kernels.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

namespace rmoe::cpu {
namespace {

constexpr int64_t kRows = 8;
constexpr int64_t kColumns = 4096;  // a block stays in the first-level cache between its maximum and its sum

template <class T>
T maximum(const T* x, int64_t n, T most) {
#pragma omp simd reduction(max : most)
  for (int64_t i = 0; i < n; ++i) most = x[i] > most ? x[i] : most;
  return most;
}

template <class T>
T sum_of_exp(const T* x, int64_t n, T shift) {
  T sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < n; ++i) sum += math::exp(x[i] - shift);
  return sum;
}

/// log sum_i exp x_i, reading x from memory once: a block with a new maximum rescales what is there.
template <class T>
double log_sum_exp(const T* x, int64_t n) {
  T most = std::numeric_limits<T>::lowest();
  double sum = 0;
  for (int64_t i = 0; i < n; i += kColumns) {
    const int64_t width = std::min(n - i, kColumns);
    const T before = std::exchange(most, maximum(x + i, width, most));
    sum = sum * std::exp(double(before) - double(most)) + double(sum_of_exp(x + i, width, most));
  }
  return double(most) + std::log(sum);
}

}  // namespace

template <class T>
void cross_entropy_fwd(acc_t<T>* loss, acc_t<T>* lse, const T* x, const int32_t* targets, int64_t N,
                       int64_t V) {
  for (int64_t n = 0; n < N; ++n)
    RMOE_CHECK(targets[n] >= 0 && targets[n] < V, "cross_entropy: target ", targets[n], " at position ", n,
               " is not in [0, ", V, ")");
  const int64_t chunks = (N + kRows - 1) / kRows;
  const Scratch<double> partials(chunks);
  parallel_chunks(N, kRows, [&](int64_t begin, int64_t end) {
    double sum = 0;
    for (int64_t n = begin; n < end; ++n) {
      const double exact = log_sum_exp(x + n * V, V);
      sum += exact - double(x[n * V + targets[n]]);
      lse[n] = T(exact);
    }
    partials[begin / kRows] = sum;
  });
  *loss = T(std::accumulate(partials.data(), partials.data() + chunks, 0.0) / double(N));
}

template <class T>
void cross_entropy_bwd(T* dx, const acc_t<T>* dloss, const T* x, const int32_t* targets, const acc_t<T>* lse,
                       int64_t N, int64_t V, double beta) {
  const T scale = T(double(*dloss) / double(N));
  parallel_chunks(N, kRows, [=](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) {
      const T* xn = x + n * V;
      T* dxn = dx + n * V;
      const T shift = lse[n];
#pragma omp simd
      for (int64_t v = 0; v < V; ++v) {
        const T g = math::exp(xn[v] - shift) * scale;
        dxn[v] = beta == 0 ? g : dxn[v] + g;
      }
      dxn[targets[n]] -= scale;
    }
  });
}

#define RMOE_INSTANTIATE(T)                                                                             \
  template void cross_entropy_fwd<T>(acc_t<T>*, acc_t<T>*, const T*, const int32_t*, int64_t, int64_t); \
  template void cross_entropy_bwd<T>(T*, const acc_t<T>*, const T*, const int32_t*, const acc_t<T>*,    \
                                     int64_t, int64_t, double);

RMOE_INSTANTIATE(float)
RMOE_INSTANTIATE(double)

}  // namespace rmoe::cpu
