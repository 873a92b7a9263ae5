#include "engine/cuda/check.hpp"
#include "engine/cuda/ptx.cuh"
#include "engine/cuda/warp.cuh"
#include "engine/cuda_emulator/tests/kernels.hpp"

namespace rmoe::cuda::test {
namespace {

constexpr int kThreads = 256;

__global__ void vector_add_kernel(float* z, const float* x, const float* y, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) z[i] = x[i] + y[i];
}

__global__ void row_sums_kernel(float* sums, const float* x, int columns) {
  const float* row = x + static_cast<size_t>(blockIdx.x) * columns;
  float sum = 0.0f;
  for (int c = threadIdx.x; c < columns; c += blockDim.x) sum += row[c];
  sum = block_reduce<Sum>(sum);
  if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}

__global__ void total_kernel(float* sum, float* partial, unsigned* done, const float* x, int n) {
  SHARED(bool, last);
  float mine = 0.0f;
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) mine += x[i];
  mine = block_reduce<Sum>(mine);
  if (threadIdx.x == 0) {
    partial[blockIdx.x] = mine;
    __threadfence();
    last = atomicAdd(done, 1u) == gridDim.x - 1;
  }
  __syncthreads();
  if (!last) return;
  mine = 0.0f;
  for (int i = threadIdx.x; i < gridDim.x; i += blockDim.x) mine += partial[i];
  mine = block_reduce<Sum>(mine);
  if (threadIdx.x == 0) *sum = mine;
}

// ---- matrix product
// ------------------------------------------------------------------------------------------------ A block of
// eight warps computes a 128 x 128 tile, k by 32, through three stages of shared memory. A row of a stage
// holds four chunks of 16 bytes; the exclusive-or keeps the eight rows that ldmatrix reads at once in
// different banks.

constexpr int kTile = 128, kDepth = 32, kStages = 3, kStage = 2 * kTile * kDepth;  // elements of a and b
constexpr int kStageBytes = kStages * kStage * 2;

DEVICE int chunk_offset(int row, int chunk) { return row * kDepth + (chunk ^ (row / 2 % 4)) * 8; }

DEVICE void load_operand(bf16* stage, const bf16* x, int first_row, int rows, int k0, int k) {
  for (int i = threadIdx.x; i < kTile * kDepth / 8; i += kThreads) {
    const int row = i / 4, chunk = i % 4;
    const bool valid = first_row + row < rows;
    const bf16* from = x + static_cast<size_t>(valid ? first_row + row : 0) * k + k0 + chunk * 8;
    ptx::cp_async<16>(stage + chunk_offset(row, chunk), from, valid);
  }
}

template <Bug kBug>
DEVICE void multiply_stage(float (&sums)[4][4][4], const bf16* a, const bf16* b, int first_row,
                           int first_column) {
  const int lane = threadIdx.x % kLanes;
  UNROLL for (int step = 0; step < kDepth / 16; step++) {
    uint32_t fa[4][4], fb[2][4];
    UNROLL for (int i = 0; i < 4; i++)
        ptx::ldmatrix_x4(fa[i], a + chunk_offset(first_row + i * 16 + lane % 16, step * 2 + lane / 16));
    UNROLL for (int j = 0; j < 2; j++) {
      const int row = first_column + j * 16 + lane % 8 + lane / 16 * 8;
      ptx::ldmatrix_x4(fb[j], b + chunk_offset(row, step * 2 + lane / 8 % 2));
    }
    UNROLL for (int i = 0; i < 4; i++) UNROLL for (int j = 0; j < 4; j++) {
      constexpr int kFirst = kBug == Bug::swapped_fragment ? 1 : 0;
      const uint32_t half[2] = {fb[j / 2][j % 2 * 2 + kFirst], fb[j / 2][j % 2 * 2 + 1 - kFirst]};
      ptx::mma_m16n8k16(sums[i][j], fa[i], half);
    }
  }
}

template <Bug kBug>
DEVICE void store_tile(bf16* c, const float (&sums)[4][4][4], int first_row, int first_column, int m, int n) {
  const int lane = threadIdx.x % kLanes;
  UNROLL for (int i = 0; i < 4; i++) UNROLL for (int j = 0; j < 4; j++)
      UNROLL for (int half = 0; half < 2; half++) {
    const int row = first_row + i * 16 + lane / 4 + half * 8, column = first_column + j * 8 + lane % 4 * 2;
    const bool inside = row < m + (kBug == Bug::wrong_tail ? 1 : 0) && column < n;
    if (inside)
      *reinterpret_cast<bf16x2*>(c + static_cast<size_t>(row) * n + column) =
          __floats2bfloat162_rn(sums[i][j][2 * half], sums[i][j][2 * half + 1]);
  }
}

template <Bug kBug>
__global__ void __launch_bounds__(kThreads)
    matrix_product_kernel(bf16* c, const bf16* a, const bf16* b, int m, int n, int k) {
  DYN_SHARED(bf16, stages);
  const int warp = threadIdx.x / kLanes, warp_row = warp / 4 * 64, warp_column = warp % 4 * 32;
  const int tiles_n = (n + kTile - 1) / kTile, tiles = (m + kTile - 1) / kTile * tiles_n, steps = k / kDepth;
  for (int tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
    const int row = tile / tiles_n * kTile, column = tile % tiles_n * kTile;
    const auto load = [&](int step) {
      bf16* stage = stages + step % kStages * kStage;
      if (step < steps) {
        load_operand(stage, a, row, m, step * kDepth, k);
        load_operand(stage + kTile * kDepth, b, column, n, step * kDepth, k);
      }
      ptx::cp_async_commit();
    };
    float sums[4][4][4] = {};
    for (int step = 0; step < kStages - 1; step++) load(step);
    for (int step = 0; step < steps; step++) {
      if (kBug != Bug::no_wait) ptx::cp_async_wait<kBug == Bug::short_wait ? kStages - 1 : kStages - 2>();
      if (kBug != Bug::no_barrier) __syncthreads();
      load(step + kStages - 1);
      const bf16* stage = stages + step % kStages * kStage;
      multiply_stage<kBug>(sums, stage, stage + kTile * kDepth, warp_row, warp_column);
    }
    ptx::cp_async_wait<0>();
    store_tile<kBug>(c, sums, row + warp_row, column + warp_column, m, n);
    __syncthreads();  // the next tile's copies overwrite what other warps may still read
  }
}

template <Bug kBug>
void launch_product(bf16* c, const bf16* a, const bf16* b, int m, int n, int k, cudaStream_t stream) {
  int device = 0, multiprocessors = 0;
  CUDA_CHECK(cudaGetDevice(&device));
  CUDA_CHECK(cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, device));
  CUDA_CHECK(cudaFuncSetAttribute(reinterpret_cast<const void*>(&matrix_product_kernel<kBug>),
                                  cudaFuncAttributeMaxDynamicSharedMemorySize, kStageBytes));
  const int tiles = (m + kTile - 1) / kTile * ((n + kTile - 1) / kTile);
  LAUNCH((matrix_product_kernel<kBug>), min(tiles, 2 * multiprocessors), kThreads, kStageBytes, stream, c, a,
         b, m, n, k);
}

// ---- layouts and speed
// -----------------------------------------------------------------------------------------------

__global__ void fragments_kernel(uint32_t* registers, bool transposed) {
  SHARED(uint16_t[32 * 8], tile);
  for (int i = threadIdx.x; i < 32 * 8; i += kLanes) tile[i] = static_cast<uint16_t>(i);
  __syncthreads();
  uint32_t r[4];
  if (transposed)
    ptx::ldmatrix_x4_trans(r, tile + threadIdx.x * 8);
  else
    ptx::ldmatrix_x4(r, tile + threadIdx.x * 8);
  for (int i = 0; i < 4; i++) registers[threadIdx.x * 4 + i] = r[i];
}

__global__ void warp_operations_kernel(unsigned* results) {
  const unsigned lane = threadIdx.x;
  unsigned* mine = results + lane * 8;
  mine[0] = __ballot_sync(kAllLanes, lane % 3 == 0);
  mine[1] = __shfl_sync(kAllLanes, lane, 5);
  mine[2] = __shfl_up_sync(kAllLanes, lane, 2);
  mine[3] = __shfl_down_sync(kAllLanes, lane, 3, 8);
  mine[4] = __shfl_xor_sync(kAllLanes, lane, 9);
  mine[5] = __match_any_sync(kAllLanes, lane % 4);
  mine[6] = __any_sync(kAllLanes, lane == 7) * 2 + __all_sync(kAllLanes, lane < 32);
  mine[7] = lane < 16 ? __ballot_sync(0xffffu, lane % 2) : __ballot_sync(0xffff0000u, lane % 2);
}

__global__ void barriers_kernel(float* x, int n) {
  float value = threadIdx.x;
  for (int i = 0; i < n; i++) {
    __syncthreads();
    value += 1.0f;
  }
  x[blockIdx.x * blockDim.x + threadIdx.x] = value;
}

__global__ void shuffles_kernel(float* x, int n) {
  float value = threadIdx.x;
  for (int i = 0; i < n; i++) value += __shfl_xor_sync(kAllLanes, value, 1);
  x[blockIdx.x * blockDim.x + threadIdx.x] = value;
}

__global__ void products_kernel(float* x, int n) {
  float d[4] = {};
  const uint32_t a[4] = {1, 2, 3, 4}, b[2] = {5, 6};
  for (int i = 0; i < n; i++) ptx::mma_m16n8k16(d, a, b);
  x[threadIdx.x] = d[0];
}

}  // namespace

void vector_add(float* z, const float* x, const float* y, int n, cudaStream_t stream) {
  LAUNCH(vector_add_kernel, (n + kThreads - 1) / kThreads, kThreads, 0, stream, z, x, y, n);
}
void row_sums(float* sums, const float* x, int rows, int columns, cudaStream_t stream) {
  LAUNCH(row_sums_kernel, rows, kThreads, 0, stream, sums, x, columns);
}
void total(float* sum, float* partial, unsigned* done, const float* x, int n, int blocks,
           cudaStream_t stream) {
  LAUNCH(total_kernel, blocks, kThreads, 0, stream, sum, partial, done, x, n);
}

void matrix_product(bf16* c, const bf16* a, const bf16* b, int m, int n, int k, Bug bug,
                    cudaStream_t stream) {
  switch (bug) {
    case Bug::none:
      return launch_product<Bug::none>(c, a, b, m, n, k, stream);
    case Bug::no_wait:
      return launch_product<Bug::no_wait>(c, a, b, m, n, k, stream);
    case Bug::short_wait:
      return launch_product<Bug::short_wait>(c, a, b, m, n, k, stream);
    case Bug::no_barrier:
      return launch_product<Bug::no_barrier>(c, a, b, m, n, k, stream);
    case Bug::swapped_fragment:
      return launch_product<Bug::swapped_fragment>(c, a, b, m, n, k, stream);
    case Bug::wrong_tail:
      return launch_product<Bug::wrong_tail>(c, a, b, m, n, k, stream);
  }
}

void fragments(uint32_t* registers, bool transposed, cudaStream_t stream) {
  LAUNCH(fragments_kernel, 1, kLanes, 0, stream, registers, transposed);
}
void warp_operations(unsigned* results, cudaStream_t stream) {
  LAUNCH(warp_operations_kernel, 1, kLanes, 0, stream, results);
}
void many_barriers(float* x, int blocks, int threads, int n, cudaStream_t stream) {
  LAUNCH(barriers_kernel, blocks, threads, 0, stream, x, n);
}
void many_shuffles(float* x, int blocks, int threads, int n, cudaStream_t stream) {
  LAUNCH(shuffles_kernel, blocks, threads, 0, stream, x, n);
}
void many_products(float* x, int n, cudaStream_t stream) {
  LAUNCH(products_kernel, 1, kLanes, 0, stream, x, n);
}

}  // namespace rmoe::cuda::test
