// Kernels to try the emulator with: correct ones, and for each promise of the emulator one that breaks the
// rule.
#pragma once

#include <cstdint>
#include <cuda_bf16.h>
#include <cuda_runtime_api.h>

namespace rmoe::cuda::test {

using bf16 = __nv_bfloat16;

// ---- correct: kernels.cu
// -------------------------------------------------------------------------------------------

/// z_i = x_i + y_i
void vector_add(float* z, const float* x, const float* y, int n, cudaStream_t stream);

/// sums_r = sum_c x_rc, one block per row
void row_sums(float* sums, const float* x, int rows, int columns, cudaStream_t stream);

/// sum = sum_i x_i by blocks of which the last one adds up; `partial` has `blocks` elements, `done` is zero.
void total(float* sum, float* partial, unsigned* done, const float* x, int n, int blocks,
           cudaStream_t stream);

/// What a planted mistake leaves out of the matrix product.
enum class Bug { none, no_wait, short_wait, no_barrier, swapped_fragment, wrong_tail };

/// c_mn = sum_k a_mk b_nk on tensor cores; k a multiple of 32. Persistent: two blocks per multiprocessor.
void matrix_product(bf16* c, const bf16* a, const bf16* b, int m, int n, int k, Bug bug, cudaStream_t stream);

/// lane l, register r of ldmatrix from a 32 x 8 tile of the numbers 0..255
void fragments(uint32_t* registers, bool transposed, cudaStream_t stream);

/// votes, shuffles and matches of one warp: 8 words per lane
void warp_operations(unsigned* results, cudaStream_t stream);

/// For timing: n steps per thread of one kind.
void many_barriers(float* x, int blocks, int threads, int n, cudaStream_t stream);
void many_shuffles(float* x, int blocks, int threads, int n, cudaStream_t stream);
void many_products(float* x, int n, cudaStream_t stream);

// ---- wrong: faulty_kernels.cu
// --------------------------------------------------------------------------------------

void divergent_barrier(int* x, cudaStream_t stream);
void deadlock(int* x, cudaStream_t stream);
void exited_lane(float* x, int lane, cudaStream_t stream);
void divergent_warp(float* x, cudaStream_t stream);
void partial_warp(float* x, cudaStream_t stream);  // a full mask in a block of 40 threads
void outside_mask(float* x, cudaStream_t stream);  // a lane that its mask does not name
void spin(int* flag, cudaStream_t stream);         // waits for another thread in a loop
void too_many_threads(int* x, cudaStream_t stream);
void dynamic_shared(int* x, int bytes, cudaStream_t stream);
void static_shared(int* x, cudaStream_t stream);                        // 49 KiB
void block_shared(int* x, int dynamic_bytes, cudaStream_t stream);      // with 40 KiB static
void misaligned_copy(float* x, int to, int from, cudaStream_t stream);  // cp.async
void misaligned_fragment(float* x, cudaStream_t stream);                // ldmatrix
void copy_outside_shared(float* x, cudaStream_t stream);                // cp.async to global memory
void write_at(int* x, int index, cudaStream_t stream);
void shared_write_at(int* x, int index, cudaStream_t stream);
void read_shared_unwritten(int* x, cudaStream_t stream);
void copy_values(float* y, const float* x, int n, cudaStream_t stream);  // y_i = x_i + 1
void shared_race(int* x, bool synchronize, cudaStream_t stream);
void warp_race(int* x, bool synchronize, cudaStream_t stream);
void block_race(int* x, cudaStream_t stream);
void byte_neighbours(uint8_t* x, cudaStream_t stream);  // no race: threads write neighbouring bytes
void total_without_fence(float* sum, float* partial, unsigned* done, cudaStream_t stream);
void unwaited_copy(float* y, const float* x, bool wait, cudaStream_t stream);
struct Buffers {
  float* x;
};
void pointer_in_struct(Buffers buffers, cudaStream_t stream);

}  // namespace rmoe::cuda::test
