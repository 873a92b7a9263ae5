// One linear layer per expert over rows sorted by expert. The offsets stay on the device: a grid is large
// enough for any offsets, and what a block has to do it finds out itself (groups.cuh).
#include "engine/cuda/context.hpp"
#include "ops/grouped_linear/group_sums.cuh"
#include "ops/grouped_linear/kernels.hpp"
#include "ops/grouped_linear/plain.cuh"
#include "ops/grouped_linear/tensor_cores.cuh"

namespace rmoe::cuda {
namespace {

/// y = beta y + bias + x w_e^T for w_e [columns, depth], or x w_e for w_e [depth, columns] with kAcross.
template <bool kAcross, class T>
void multiply_rows(T* y, const T* x, const T* w, const T* bias, const Groups& groups, int64_t columns,
                   int64_t depth, double beta) {
  using Tile = WideTile;
  if (groups.M * columns == 0) return;
  if constexpr (sizeof(T) == 2) {
    if (on_tensor_cores(columns, depth, y, x, w)) {
      return launch_row_tiles<Tile>(&grouped_rows_kernel<Tile, kAcross>, groups, columns, y, x, w, bias,
                                    groups, int(columns), int(depth), float(beta));
    }
  }
  const int blocks = most_row_tiles(groups.M, groups.E, plain::kTile) * divide_up(columns, plain::kTile);
  LAUNCH((plain::rows_kernel<T, !kAcross>), blocks, plain::kThreads, 0, stream(), y, x, w, bias, groups,
         int(columns), int(depth), float(beta));
}

/// Elements that the tiles of an M x N gradient cover.
int64_t covered(int64_t M, int64_t N) {
  const int64_t columns = prefers_narrow(N) ? NarrowTile::kColumns : WideTile::kColumns;
  return divide_up(M, WideTile::kRows) * divide_up(N, columns) * columns;
}

}  // namespace

template <class T>
void grouped_linear_fwd(T* y, const T* x, const T* w, const T* b, const int32_t* offsets, int64_t M,
                        int64_t E, int64_t F, int64_t C) {
  multiply_rows<false>(device_pointer(y), device_pointer(x), device_pointer(w), device_pointer(b),
                       {offsets, int(M), int(E)}, F, C, 0);
}

template <class T>
void grouped_linear_bwd_x(T* dx, const T* dy, const T* w, const int32_t* offsets, int64_t M, int64_t E,
                          int64_t F, int64_t C, double beta) {
  multiply_rows<true>(device_pointer(dx), device_pointer(dy), device_pointer(w), device_pointer<T>(nullptr),
                      {offsets, int(M), int(E)}, C, F, beta);
}

template <class T>
void grouped_linear_bwd_w(acc_t<T>* dw, const T* dy, const T* x, const int32_t* offsets, int64_t E, int64_t F,
                          int64_t C, double beta) {
  using Element = typename OnDevice<T>::type;
  if (E * F * C == 0) return;
  const Groups groups{offsets, 0, int(E)};
  const auto *grad = device_pointer(dy), *in = device_pointer(x);
  if constexpr (sizeof(T) == 2) {
    if (on_tensor_cores(F, C, dw, dy, x)) {
      if (covered(C, F) < covered(F, C))
        multiply_weights(WeightGradient<true>{dw, int(C), int(F), float(beta)}, in, SortedRow{}, grad,
                         groups);
      else
        multiply_weights(WeightGradient<false>{dw, int(F), int(C), float(beta)}, grad, SortedRow{}, in,
                         groups);
      return;
    }
  }
  const dim3 grid(unsigned(divide_up(C, plain::kTile)), unsigned(divide_up(F, plain::kTile)), unsigned(E));
  LAUNCH((plain::weights_kernel<Element>), grid, plain::kThreads, 0, stream(), dw, grad, in, groups, int(F),
         int(C), float(beta));
}

template <class T>
void grouped_linear_bwd_b(acc_t<T>* db, const T* dy, const int32_t* offsets, int64_t E, int64_t F,
                          double beta) {
  const auto* const grad = device_pointer(dy);
  sum_groups(db, Groups{offsets, 0, int(E)}, F, beta,
             [=] ON_DEVICE(int m, int f) { return to_float(grad[int64_t(m) * F + f]); });
}

#define RMOE_INSTANTIATE(T)                                                                                \
  template void grouped_linear_fwd<T>(T*, const T*, const T*, const T*, const int32_t*, int64_t, int64_t,  \
                                      int64_t, int64_t);                                                   \
  template void grouped_linear_bwd_x<T>(T*, const T*, const T*, const int32_t*, int64_t, int64_t, int64_t, \
                                        int64_t, double);                                                  \
  template void grouped_linear_bwd_w<T>(acc_t<T>*, const T*, const T*, const int32_t*, int64_t, int64_t,   \
                                        int64_t, double);                                                  \
  template void grouped_linear_bwd_b<T>(acc_t<T>*, const T*, const int32_t*, int64_t, int64_t, double);

RMOE_CUDA_TYPES(RMOE_INSTANTIATE)

}  // namespace rmoe::cuda
