// A thread draws four numbers at once, as they come out of Philox, and decides over the up to four elements
// of its row that they belong to: rows may begin anywhere in the stream. Which elements are kept is the same
// as on the CPU.
#include "engine/cuda/for_each.cuh"
#include "engine/cuda/philox.cuh"
#include "ops/dropout/kernels.hpp"

#include <math.h>

namespace rmoe::cuda {

template <class T>
void dropout_into(T* y, const T* x, const int32_t* row_index, int64_t N, int64_t F, double p, uint64_t seed,
                  uint64_t stream, int64_t offset, double beta) {
  if (N * F == 0) return;
  auto* out = device_pointer(y);
  const auto* in = device_pointer(x);
  const int64_t width = row_index ? F : N * F, rows = row_index ? N : 1;
  const int64_t draws = width / 4 + 2;  // a row touches at most that many blocks of four numbers
  const uint32_t least = uint32_t(ceil(p * 0x1p24));
  const float scale = float(1 / (1 - p)), kept = float(beta);
  for_each(rows * draws, [=] ON_DEVICE(int64_t thread) {
    const int64_t row = thread / draws;
    const int64_t first =
        offset + (row_index ? row_index[row] * F : 0);  // the number of the row's first element
    const int64_t block = first / 4 + thread % draws;
    if (block * 4 >= first + width) return;
    const RandomBits numbers = philox(seed, stream, uint64_t(block));
    UNROLL for (int k = 0; k < 4; ++k) {
      const int64_t column = block * 4 + k - first, i = row * width + column;
      if (column < 0 || column >= width) continue;
      put(out[i], numbers.word[k] >> 8 >= least ? to_float(in[i]) * scale : 0.0f, kept);
    }
  });
}

#define RMOE_INSTANTIATE(T)                                                                                 \
  template void dropout_into<T>(T*, const T*, const int32_t*, int64_t, int64_t, double, uint64_t, uint64_t, \
                                int64_t, double);

RMOE_CUDA_TYPES(RMOE_INSTANTIATE)

}  // namespace rmoe::cuda
