// Chunks of all gradients are added up in one launch (or few), then their sums in order: the same bits on
// every run, and nothing for the host to wait for. In double, as on the CPU: reading the gradients takes
// longer.
#include "engine/cuda/for_each.cuh"
#include "engine/cuda/many.cuh"
#include "engine/cuda/sum.cuh"
#include "ops/grad_norm/kernels.hpp"

namespace rmoe::cuda {

template <class T>
void grad_norm_fwd(double* norm, const GradSpan* grads, int64_t count) {
  int64_t chunks = 0;
  for (int64_t i = 0; i < count; ++i) chunks += chunks_of(grads[i].n);
  const Scratch<double> partial(chunks);
  double* const sums = partial.data();
  for_each_chunk(grads, count,
                 [=] ON_DEVICE(const GradSpan& span, int64_t begin, int64_t end, int64_t chunk) {
                   const float* g = static_cast<const float*>(span.g);
                   double sum = 0.0;
                   for (int64_t i = begin + threadIdx.x; i < end; i += kChunkThreads)
                     sum += double(g[i]) * double(g[i]);
                   sum = block_reduce<Sum>(sum);
                   if (threadIdx.x == 0) sums[chunk] = sum;
                 });
  sum_all(
      chunks, [=] ON_DEVICE(int64_t i) { return sums[i]; }, [=] ON_DEVICE(double sum) { *norm = sqrt(sum); });
}

void joined_norm_fwd(double* norm, const double* norms, int64_t count) {
  for_each(1, [=] ON_DEVICE(int64_t) {
    double sum = 0.0;
    for (int64_t i = 0; i < count; ++i) sum += norms[i] * norms[i];
    *norm = sqrt(sum);
  });
}

void clip_scale_fwd(double* scale, const double* norm, double most) {
  for_each(1, [=] ON_DEVICE(int64_t) { *scale = most == 0.0 || *norm <= most ? 1.0 : most / *norm; });
}

template void grad_norm_fwd<float>(double*, const GradSpan*, int64_t);

}  // namespace rmoe::cuda
