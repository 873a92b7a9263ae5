// dst_ji = beta dst_ji + scale src_ij for src [rows, cols]; `ld_src`, `ld_dst` are distances between stored
// rows. In the calling thread. Square tiles, so that both sides are touched a cache line at a time.
#pragma once

#include <algorithm>
#include <cstdint>

namespace rmoe {

template <class T>
void transpose(T* dst, int64_t ld_dst, const T* src, int64_t ld_src, int64_t rows, int64_t cols,
               T scale = T(1)) {
  constexpr int64_t kTile = 16;
  for (int64_t i0 = 0; i0 < rows; i0 += kTile)
    for (int64_t j0 = 0; j0 < cols; j0 += kTile) {
      const int64_t i1 = std::min(rows, i0 + kTile), j1 = std::min(cols, j0 + kTile);
      for (int64_t j = j0; j < j1; ++j)
        for (int64_t i = i0; i < i1; ++i) dst[j * ld_dst + i] = scale * src[i * ld_src + j];
    }
}

}  // namespace rmoe
