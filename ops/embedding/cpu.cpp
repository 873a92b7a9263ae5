#include "engine/error.hpp"
#include "engine/parallel.hpp"
#include "engine/scratch.hpp"
#include "ops/embedding/kernels.hpp"

#include <algorithm>

namespace rmoe::cpu {
namespace {

constexpr int64_t kRows = 16;

/// Positions sorted by token, equal ones in their order: those of token v are order[first[v], first[v + 1]).
void bucket_by_token(int32_t* first, int32_t* order, const int32_t* tokens, int64_t N, int64_t V) {
  std::fill_n(first, V + 1, 0);
  for (int64_t n = 0; n < N; ++n) ++first[tokens[n]];
  for (int64_t v = 1; v <= V; ++v) first[v] += first[v - 1];  // now the end of bucket v
  for (int64_t n = N - 1; n >= 0; --n) order[--first[tokens[n]]] = int32_t(n);
}

template <class T>
void add_row(T* into, const T* row, int64_t C) {
  for (int64_t c = 0; c < C; ++c) into[c] += row[c];
}

}  // namespace

template <class T>
void embedding_fwd(T* y, const int32_t* tokens, const T* w, int64_t N, int64_t V, int64_t C) {
  for (int64_t n = 0; n < N; ++n)
    RMOE_CHECK(tokens[n] >= 0 && tokens[n] < V, "embedding: token ", tokens[n], " at position ", n,
               " is not in [0, ", V, ")");
  parallel_chunks(N, kRows, [=](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) std::copy_n(w + tokens[n] * C, C, y + n * C);
  });
}

// A task owns rows of dw, so no two threads meet in one and every sum runs in token order.
template <class T>
void embedding_bwd(acc_t<T>* dw, const T* dy, const int32_t* tokens, int64_t N, int64_t V, int64_t C,
                   double beta) {
  const Scratch<int32_t> first(V + 1), order(N);
  bucket_by_token(first.data(), order.data(), tokens, N, V);
  parallel_chunks(V, kRows, [&](int64_t begin, int64_t end) {
    if (beta == 0) std::fill(dw + begin * C, dw + end * C, T(0));
    for (int64_t v = begin; v < end; ++v)
      for (int32_t i = first[v]; i < first[v + 1]; ++i) add_row(dw + v * C, dy + order[i] * C, C);
  });
}

#define RMOE_INSTANTIATE(T)                                                                \
  template void embedding_fwd<T>(T*, const int32_t*, const T*, int64_t, int64_t, int64_t); \
  template void embedding_bwd<T>(T*, const T*, const int32_t*, int64_t, int64_t, int64_t, double);

RMOE_INSTANTIATE(float)
RMOE_INSTANTIATE(double)

}  // namespace rmoe::cpu
