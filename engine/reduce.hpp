// Sums over rows, in an order that depends on the sizes alone: the weight gradients of norms, biases and the
// like.
#pragma once

#include "engine/parallel.hpp"
#include "engine/scratch.hpp"

#include <algorithm>

namespace rmoe {

/// dst_j = beta dst_j + sum_i partials_ij in order of i, partials [count, width].
template <class T>
void sum_partials(T* dst, T beta, const T* partials, int64_t count, int64_t width) {
  constexpr int64_t kColumns = 1024;
  parallel_chunks(width, kColumns, [=](int64_t begin, int64_t end) {
    for (int64_t j = begin; j < end; ++j) dst[j] = beta == T(0) ? T(0) : beta * dst[j];
    for (int64_t i = 0; i < count; ++i)
      for (int64_t j = begin; j < end; ++j) dst[j] += partials[i * width + j];
  });
}

/// dst[0, width) = beta dst + sum over rows [0, n) of what f adds. f(begin, end, partial) adds rows [begin,
/// end) into its own zeroed `partial`; partials are added in order. At most 64 partials exist.
template <class T, class F>
void reduce_rows(int64_t n, int64_t width, T* dst, T beta, F&& f) {
  constexpr int64_t kMostPartials = 64, kLeastRows = 32;
  const int64_t chunk = std::max(kLeastRows, (n + kMostPartials - 1) / kMostPartials);
  const int64_t chunks = (n + chunk - 1) / chunk;
  const Scratch<T> partials(chunks * width);
  parallel_for(chunks, [&](int64_t i) {
    T* partial = partials.data() + i * width;
    std::fill_n(partial, width, T(0));
    f(i * chunk, std::min(n, (i + 1) * chunk), partial);
  });
  sum_partials(dst, beta, partials.data(), chunks, width);
}

/// dst_j = beta dst_j + sum_i x_ij, x [n, width].
template <class T>
void sum_rows(int64_t n, int64_t width, T* dst, T beta, const T* x) {
  reduce_rows(n, width, dst, beta, [=](int64_t begin, int64_t end, T* partial) {
    for (int64_t i = begin; i < end; ++i)
      for (int64_t j = 0; j < width; ++j) partial[j] += x[i * width + j];
  });
}

}  // namespace rmoe
