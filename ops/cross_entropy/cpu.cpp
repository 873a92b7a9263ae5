#include "engine/error.hpp"
#include "engine/math.hpp"
#include "engine/parallel.hpp"
#include "ops/cross_entropy/kernels.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
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

/// log(e^a + e^b)
double add_logs(double a, double b) {
  const double most = std::max(a, b);
  return most + std::log(std::exp(a - most) + std::exp(b - most));
}

}  // namespace

template <class T>
void cross_entropy_fold(double* lse, double* target_logit, const T* x, const int32_t* targets, int64_t first,
                        int64_t N, int64_t V) {
  parallel_chunks(N, kRows, [=](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) {
      if (targets[n] == kNotCounted) continue;
      const double here = log_sum_exp(x + n * V, V);
      lse[n] = first == 0 ? here : add_logs(lse[n], here);
      const int64_t v = targets[n] - first;
      if (v >= 0 && v < V) target_logit[n] = double(x[n * V + v]);
    }
  });
}

template <class T>
void cross_entropy_mean(acc_t<T>* loss, double* counted, const double* lse, const double* target_logit,
                        const int32_t* targets, int64_t N, int64_t V) {
  double sum = 0;
  int64_t count = 0;
  for (int64_t n = 0; n < N; ++n) {
    if (targets[n] == kNotCounted) continue;
    RMOE_CHECK(targets[n] >= 0 && targets[n] < V, "cross_entropy: target ", targets[n], " at position ", n,
               " is not in [0, ", V, ") and not -1");
    sum += lse[n] - target_logit[n];
    ++count;
  }
  *counted = double(count);
  *loss = count == 0 ? T(0) : T(sum / double(count));
}

template <class T>
void cross_entropy_bwd(T* dx, const acc_t<T>* dloss, const T* x, const int32_t* targets, const double* lse,
                       const double* counted, int64_t first, int64_t N, int64_t V, double beta) {
  const T scale = T(double(*dloss) / *counted);  // read by counted rows alone
  parallel_chunks(N, kRows, [=](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) {
      const T* xn = x + n * V;
      T* dxn = dx + n * V;
      if (targets[n] == kNotCounted) {
        if (beta == 0) std::fill_n(dxn, V, T(0));
        continue;
      }
      const T shift = T(lse[n]);
#pragma omp simd
      for (int64_t v = 0; v < V; ++v) {
        const T g = math::exp(xn[v] - shift) * scale;
        dxn[v] = beta == 0 ? g : dxn[v] + g;
      }
      const int64_t target = targets[n] - first;
      if (target >= 0 && target < V) dxn[target] -= scale;
    }
  });
}

#define RMOE_INSTANTIATE(T)                                                                             \
  template void cross_entropy_fold<T>(double*, double*, const T*, const int32_t*, int64_t, int64_t,     \
                                      int64_t);                                                         \
  template void cross_entropy_mean<T>(acc_t<T>*, double*, const double*, const double*, const int32_t*, \
                                      int64_t, int64_t);                                                \
  template void cross_entropy_bwd<T>(T*, const acc_t<T>*, const T*, const int32_t*, const double*,      \
                                     const double*, int64_t, int64_t, int64_t, double);

RMOE_INSTANTIATE(float)
RMOE_INSTANTIATE(double)

}  // namespace rmoe::cpu
