#include "engine/parallel.hpp"
#include "ops/concat/kernels.hpp"

namespace rmoe::cpu {
namespace {
constexpr int64_t kRows = 64;
}

template <class T>
void concat_time_fwd(T* y, const T* a, const T* b, int64_t batch, int64_t time_a, int64_t time_b,
                     int64_t width) {
  const int64_t total = time_a + time_b;
  parallel_chunks(batch * total, kRows, [=](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const int64_t i = row / total, t = row % total;
      const T* from = t < time_a ? a + (i * time_a + t) * width : b + (i * time_b + t - time_a) * width;
      std::copy_n(from, width, y + row * width);
    }
  });
}

template <class T>
void concat_time_bwd(T* dx, const T* dy, int64_t batch, int64_t time, int64_t total, int64_t first,
                     int64_t width, double beta) {
  parallel_chunks(batch * time, kRows, [=](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      T* into = dx + row * width;
      const T* from = dy + (row / time * total + first + row % time) * width;
      for (int64_t c = 0; c < width; ++c) into[c] = beta == 0 ? from[c] : T(beta) * into[c] + from[c];
    }
  });
}

#define RMOE_INSTANTIATE(T)                                                                     \
  template void concat_time_fwd<T>(T*, const T*, const T*, int64_t, int64_t, int64_t, int64_t); \
  template void concat_time_bwd<T>(T*, const T*, int64_t, int64_t, int64_t, int64_t, int64_t, double);

RMOE_INSTANTIATE(float)
RMOE_INSTANTIATE(double)

}  // namespace rmoe::cpu
