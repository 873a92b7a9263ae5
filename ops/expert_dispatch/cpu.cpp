#include "engine/error.hpp"
#include "engine/parallel.hpp"
#include "ops/expert_dispatch/kernels.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

namespace rmoe::cpu {
namespace {

constexpr int64_t kRows = 64;
constexpr int32_t kDropped = -1;

template <class T>
bool above(T a, T b) {
  return a > b || (std::isnan(b) && !std::isnan(a));
}

/// to_c = beta to_c + sum_k w_k rows_{slot_k, c} over the slots that are not -1; all w_k are 1 if w is null.
template <class T>
void gather_sum(T* to, const T* rows, const T* w, const int32_t* slot, int64_t K, int64_t C, double beta) {
  bool first = beta == 0;
  for (int64_t k = 0; k < K; ++k) {
    if (slot[k] < 0) continue;
    const T* from = rows + slot[k] * C;
    const T weight = w ? w[k] : T(1);
    for (int64_t c = 0; c < C; ++c) to[c] = first ? weight * from[c] : to[c] + weight * from[c];
    first = false;
  }
  if (first) std::fill_n(to, C, T(0));
}

}  // namespace

void sort_by_expert(int32_t* offsets, int32_t* assignment, int32_t* slot, const int32_t* experts, int64_t M,
                    int64_t E) {
  std::fill_n(offsets, E + 1, 0);
  for (int64_t i = 0; i < M; ++i) {
    if (experts[i] == kDropped) continue;
    RMOE_CHECK(experts[i] >= 0 && experts[i] < E, "sort_by_expert: assignment ", i, " goes to expert ",
               experts[i], " of ", E);
    ++offsets[experts[i] + 1];
  }
  for (int64_t e = 0; e < E; ++e) offsets[e + 1] += offsets[e];
  std::vector<int32_t> next(offsets, offsets + E);
  for (int64_t i = 0; i < M; ++i) {
    slot[i] = experts[i] == kDropped ? kDropped : next[experts[i]]++;
    if (slot[i] >= 0) assignment[slot[i]] = int32_t(i);
  }
}

template <class T>
void limit_experts(int32_t* kept, const int32_t* experts, const T* probs, int64_t N, int64_t K, int64_t E,
                   int64_t capacity) {
  std::vector<std::vector<int32_t>> assigned(E);
  for (int64_t i = 0; i < N * K; ++i) {
    RMOE_CHECK(experts[i] >= 0 && experts[i] < E, "sort_by_expert: assignment ", i, " goes to expert ",
               experts[i], " of ", E);
    assigned[experts[i]].push_back(int32_t(i));
    kept[i] = experts[i];
  }
  parallel_for(E, [&](int64_t e) {
    std::vector<int32_t>& mine = assigned[e];
    if (int64_t(mine.size()) <= capacity) return;
    // An order without ties, so that its first are the same whatever algorithm finds them; NaN comes last.
    const auto before = [&](int32_t a, int32_t b) {
      const T x = probs[a / K * E + e], y = probs[b / K * E + e];
      return above(x, y) || (!above(y, x) && a < b);
    };
    std::nth_element(mine.begin(), mine.begin() + capacity, mine.end(), before);
    for (size_t i = capacity; i < mine.size(); ++i) kept[mine[i]] = kDropped;
  });
}

template <class T>
void expert_dispatch_fwd(T* y, const T* x, const int32_t* assignment, int64_t M, int64_t K, int64_t C) {
  parallel_chunks(M, kRows, [=](int64_t begin, int64_t end) {
    for (int64_t m = begin; m < end; ++m) std::copy_n(x + assignment[m] / K * C, C, y + m * C);
  });
}

template <class T>
void expert_dispatch_bwd(T* dx, const T* dy, const int32_t* slot, int64_t N, int64_t K, int64_t C,
                         double beta) {
  parallel_chunks(N, kRows, [=](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) gather_sum<T>(dx + n * C, dy, nullptr, slot + n * K, K, C, beta);
  });
}

template <class T>
void expert_combine_fwd(T* out, const T* y, const acc_t<T>* w, const int32_t* slot, int64_t N, int64_t K,
                        int64_t C) {
  parallel_chunks(N, kRows, [=](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) gather_sum<T>(out + n * C, y, w + n * K, slot + n * K, K, C, 0);
  });
}

template <class T>
void expert_combine_bwd_y(T* dy, const T* dout, const acc_t<T>* w, const int32_t* assignment, int64_t M,
                          int64_t K, int64_t C, double beta) {
  parallel_chunks(M, kRows, [=](int64_t begin, int64_t end) {
    for (int64_t m = begin; m < end; ++m) {
      const T weight = w[assignment[m]], *from = dout + assignment[m] / K * C;
      T* to = dy + m * C;
      for (int64_t c = 0; c < C; ++c) to[c] = beta == 0 ? weight * from[c] : to[c] + weight * from[c];
    }
  });
}

template <class T>
void expert_combine_bwd_w(acc_t<T>* dw, const T* dout, const T* y, const int32_t* slot, int64_t N, int64_t K,
                          int64_t C, double beta) {
  parallel_chunks(N, kRows, [=](int64_t begin, int64_t end) {
    for (int64_t i = begin * K; i < end * K; ++i) {
      if (slot[i] < 0) {
        dw[i] = beta == 0 ? T(0) : dw[i];
        continue;
      }
      const T *a = dout + i / K * C, *b = y + slot[i] * C;
      T dot = 0;
#pragma omp simd reduction(+ : dot)
      for (int64_t c = 0; c < C; ++c) dot += a[c] * b[c];
      dw[i] = beta == 0 ? dot : dw[i] + dot;
    }
  });
}

#define RMOE_INSTANTIATE(T)                                                                               \
  template void limit_experts<T>(int32_t*, const int32_t*, const T*, int64_t, int64_t, int64_t, int64_t); \
  template void expert_dispatch_fwd<T>(T*, const T*, const int32_t*, int64_t, int64_t, int64_t);          \
  template void expert_dispatch_bwd<T>(acc_t<T>*, const acc_t<T>*, const int32_t*, int64_t, int64_t,      \
                                       int64_t, double);                                                  \
  template void expert_combine_fwd<T>(T*, const T*, const acc_t<T>*, const int32_t*, int64_t, int64_t,    \
                                      int64_t);                                                           \
  template void expert_combine_bwd_y<T>(acc_t<T>*, const acc_t<T>*, const acc_t<T>*, const int32_t*,      \
                                        int64_t, int64_t, int64_t, double);                               \
  template void expert_combine_bwd_w<T>(acc_t<T>*, const acc_t<T>*, const T*, const int32_t*, int64_t,    \
                                        int64_t, int64_t, double);

RMOE_INSTANTIATE(float)
RMOE_INSTANTIATE(double)

}  // namespace rmoe::cpu
