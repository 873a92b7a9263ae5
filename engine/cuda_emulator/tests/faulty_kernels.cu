#include "engine/cuda/ptx.cuh"
#include "engine/cuda/warp.cuh"
#include "engine/cuda_emulator/tests/kernels.hpp"

namespace rmoe::cuda::test {
namespace {

__global__ void divergent_barrier_kernel(int* x) {
  if (threadIdx.x < 10) return;
  if (threadIdx.x < 50)
    __syncthreads();
  else
    __syncthreads();
  x[threadIdx.x] = 1;
}

__global__ void deadlock_kernel(int* x) {
  if (threadIdx.x % 32 < 16)
    __syncwarp();
  else
    __syncthreads();
  x[threadIdx.x] = 1;
}

__global__ void exited_lane_kernel(float* x, int lane) {
  if (threadIdx.x % 32 == lane) return;
  x[threadIdx.x] = __shfl_xor_sync(kAllLanes, 1.0f, 1);
}

__global__ void divergent_warp_kernel(float* x) {
  if (threadIdx.x < 16)
    x[threadIdx.x] = __shfl_xor_sync(kAllLanes, 1.0f, 1);
  else
    x[threadIdx.x] = __shfl_down_sync(kAllLanes, 1.0f, 1);
}

__global__ void whole_warp_kernel(float* x) { x[threadIdx.x] = __shfl_xor_sync(kAllLanes, 1.0f, 1); }

__global__ void outside_mask_kernel(float* x) { x[threadIdx.x] = __shfl_sync(0xffffu, 1.0f, 0); }

__global__ void spin_kernel(int* flag) {
  if (threadIdx.x == 0)
    while (atomicAdd(flag, 0) == 0) {
    }
  else
    atomicExch(flag, 1);
}

__global__ void fill_kernel(int* x) { x[threadIdx.x] = 1; }

template <int kBytes>
__global__ void static_shared_kernel(int* x) {
  SHARED(int[kBytes / 8], first);
  SHARED(int[kBytes / 8], second);
  first[threadIdx.x] = 1;
  second[threadIdx.x] = first[threadIdx.x];
  x[threadIdx.x] = second[threadIdx.x];
}

__global__ void misaligned_copy_kernel(float* x, int to, int from) {
  DYN_SHARED(float, buffer);
  ptx::cp_async<16>(buffer + to, x + from);
  ptx::cp_async_commit();
  ptx::cp_async_wait<0>();
}

__global__ void misaligned_fragment_kernel(float* x) {
  DYN_SHARED(bf16, buffer);
  uint32_t r[4];
  ptx::ldmatrix_x4(r, buffer + threadIdx.x * 8 + 4);
  x[threadIdx.x] = r[0];
}

__global__ void copy_outside_shared_kernel(float* x) { ptx::cp_async<16>(x, x + 4); }

__global__ void write_at_kernel(int* x, int index) { x[index] = 1; }

__global__ void shared_write_at_kernel(int* x, int index) {
  SHARED(int[32], buffer);
  buffer[threadIdx.x + index] = 1;
  __syncthreads();
  x[threadIdx.x] = buffer[threadIdx.x];
}

__global__ void read_shared_kernel(int* x) {
  SHARED(int[32], buffer);
  if (threadIdx.x != 9) buffer[threadIdx.x] = 1;
  x[threadIdx.x] = buffer[threadIdx.x];
}

__global__ void copy_values_kernel(float* y, const float* x, int n) {
  if (threadIdx.x < n) y[threadIdx.x] = x[threadIdx.x] + 1.0f;
}

__global__ void shared_race_kernel(int* x, bool synchronize) {
  SHARED(int[64], buffer);
  buffer[threadIdx.x] = 0;
  __syncthreads();
  buffer[threadIdx.x] = threadIdx.x;
  if (synchronize) __syncthreads();
  x[threadIdx.x] = buffer[(threadIdx.x + 32) % 64];
}

__global__ void warp_race_kernel(int* x, bool synchronize) {
  SHARED(int[32], buffer);
  buffer[threadIdx.x] = 0;
  __syncwarp();
  buffer[threadIdx.x] = threadIdx.x;
  if (synchronize) __syncwarp();
  x[threadIdx.x] = buffer[(threadIdx.x + 1) % 32];
}

__global__ void block_race_kernel(int* x) { x[threadIdx.x] = blockIdx.x; }

__global__ void byte_neighbours_kernel(uint8_t* x) { x[threadIdx.x] = static_cast<uint8_t>(threadIdx.x); }

__global__ void total_without_fence_kernel(float* sum, float* partial, unsigned* done) {
  partial[blockIdx.x] = 1.0f;
  if (atomicAdd(done, 1u) != gridDim.x - 1) return;
  float all = 0.0f;
  for (int i = 0; i < gridDim.x; i++) all += partial[i];
  *sum = all;
}

__global__ void unwaited_copy_kernel(float* y, const float* x, bool wait) {
  DYN_SHARED(float, buffer);
  ptx::cp_async<16>(buffer + threadIdx.x * 4, x + threadIdx.x * 4);
  ptx::cp_async_commit();
  if (wait) ptx::cp_async_wait<0>();
  y[threadIdx.x] = buffer[threadIdx.x * 4];
}

__global__ void pointer_in_struct_kernel(Buffers buffers) { buffers.x[threadIdx.x] = 1.0f; }

}  // namespace

void divergent_barrier(int* x, cudaStream_t stream) {
  LAUNCH(divergent_barrier_kernel, 1, 128, 0, stream, x);
}
void deadlock(int* x, cudaStream_t stream) { LAUNCH(deadlock_kernel, 1, 64, 0, stream, x); }
void exited_lane(float* x, int lane, cudaStream_t stream) {
  LAUNCH(exited_lane_kernel, 1, 64, 0, stream, x, lane);
}
void divergent_warp(float* x, cudaStream_t stream) { LAUNCH(divergent_warp_kernel, 1, 32, 0, stream, x); }
void partial_warp(float* x, cudaStream_t stream) { LAUNCH(whole_warp_kernel, 1, 40, 0, stream, x); }
void outside_mask(float* x, cudaStream_t stream) { LAUNCH(outside_mask_kernel, 1, 32, 0, stream, x); }
void spin(int* flag, cudaStream_t stream) { LAUNCH(spin_kernel, 1, 2, 0, stream, flag); }
void too_many_threads(int* x, cudaStream_t stream) { LAUNCH(fill_kernel, 1, 1056, 0, stream, x); }
void dynamic_shared(int* x, int bytes, cudaStream_t stream) { LAUNCH(fill_kernel, 1, 32, bytes, stream, x); }
void block_shared(int* x, int dynamic_bytes, cudaStream_t stream) {
  cudaFuncSetAttribute(reinterpret_cast<const void*>(&static_shared_kernel<40960>),
                       cudaFuncAttributeMaxDynamicSharedMemorySize, dynamic_bytes);
  LAUNCH((static_shared_kernel<40960>), 1, 32, dynamic_bytes, stream, x);
}
void misaligned_copy(float* x, int to, int from, cudaStream_t stream) {
  LAUNCH(misaligned_copy_kernel, 1, 1, 64, stream, x, to, from);
}
void misaligned_fragment(float* x, cudaStream_t stream) {
  LAUNCH(misaligned_fragment_kernel, 1, 32, 1024, stream, x);
}
void copy_outside_shared(float* x, cudaStream_t stream) {
  LAUNCH(copy_outside_shared_kernel, 1, 1, 64, stream, x);
}
void write_at(int* x, int index, cudaStream_t stream) { LAUNCH(write_at_kernel, 1, 1, 0, stream, x, index); }
void shared_write_at(int* x, int index, cudaStream_t stream) {
  LAUNCH(shared_write_at_kernel, 1, 32, 0, stream, x, index);
}
void read_shared_unwritten(int* x, cudaStream_t stream) { LAUNCH(read_shared_kernel, 1, 32, 0, stream, x); }
void copy_values(float* y, const float* x, int n, cudaStream_t stream) {
  LAUNCH(copy_values_kernel, 1, 32, 0, stream, y, x, n);
}
void shared_race(int* x, bool synchronize, cudaStream_t stream) {
  LAUNCH(shared_race_kernel, 1, 64, 0, stream, x, synchronize);
}
void warp_race(int* x, bool synchronize, cudaStream_t stream) {
  LAUNCH(warp_race_kernel, 1, 32, 0, stream, x, synchronize);
}
void block_race(int* x, cudaStream_t stream) { LAUNCH(block_race_kernel, 2, 32, 0, stream, x); }
void byte_neighbours(uint8_t* x, cudaStream_t stream) { LAUNCH(byte_neighbours_kernel, 1, 64, 0, stream, x); }
void total_without_fence(float* sum, float* partial, unsigned* done, cudaStream_t stream) {
  LAUNCH(total_without_fence_kernel, 8, 1, 0, stream, sum, partial, done);
}
void unwaited_copy(float* y, const float* x, bool wait, cudaStream_t stream) {
  LAUNCH(unwaited_copy_kernel, 1, 32, 512, stream, y, x, wait);
}
void pointer_in_struct(Buffers buffers, cudaStream_t stream) {
  LAUNCH(pointer_in_struct_kernel, 1, 1, 0, stream, buffers);
}

// nvcc refuses such a kernel at once; g++ cannot.
#ifdef __CUDACC__
void static_shared(int*, cudaStream_t) {}
#else
void static_shared(int* x, cudaStream_t stream) {
  LAUNCH((static_shared_kernel<50176>), 1, 32, 0, stream, x);
}
#endif

}  // namespace rmoe::cuda::test
