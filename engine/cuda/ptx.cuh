// One instruction each: tensor-core products, shared-memory fragments, asynchronous copies. Under the
// emulator the same functions have host bodies.
#pragma once

#include "engine/cuda/device.cuh"

#ifndef __CUDACC__
#include "engine/cuda_emulator/tensor_core.hpp"
#endif

namespace rmoe::cuda::ptx {

#ifdef __CUDACC__

DEVICE uint32_t shared_address(const void* pointer) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(pointer));
}

/// d [16,8] += a [16,16] b [16,8], bf16 with fp32 sums; the layout of fragments is PTX's.
DEVICE void mma_m16n8k16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

/// Four (two) 8 x 8 tiles of 16-bit elements; lane 8 m + i brings the address of row i of tile m.
DEVICE void ldmatrix_x4(uint32_t (&r)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(row))
               : "memory");
}
DEVICE void ldmatrix_x4_trans(uint32_t (&r)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(row))
               : "memory");
}
DEVICE void ldmatrix_x2(uint32_t (&r)[2], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0,%1}, [%2];"
               : "=r"(r[0]), "=r"(r[1])
               : "r"(shared_address(row))
               : "memory");
}
DEVICE void ldmatrix_x2_trans(uint32_t (&r)[2], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0,%1}, [%2];"
               : "=r"(r[0]), "=r"(r[1])
               : "r"(shared_address(row))
               : "memory");
}

/// Copies kBytes (16 past L1; 8 or 4 through it) to shared memory, or writes zeros where `valid` is false.
template <int kBytes>
DEVICE void cp_async(void* shared, const void* global, bool valid = true) {
  const int bytes = valid ? kBytes : 0;
  if constexpr (kBytes == 16)
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(shared)), "l"(global),
                 "r"(bytes)
                 : "memory");
  else
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(shared_address(shared)), "l"(global),
                 "n"(kBytes), "r"(bytes)
                 : "memory");
}
DEVICE void cp_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int kGroupsLeft>
DEVICE void cp_async_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kGroupsLeft) : "memory");
}

/// 2^x, approximate; tiny results are zero.
DEVICE float exp2_fast(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

#else

using Here = std::source_location;

inline void mma_m16n8k16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                         Here here = Here::current()) {
  emulator::mma_m16n8k16(d, a, b, here);
}
inline void ldmatrix_x4(uint32_t (&r)[4], const void* row, Here here = Here::current()) {
  emulator::load_matrices(r, 4, false, row, here);
}
inline void ldmatrix_x4_trans(uint32_t (&r)[4], const void* row, Here here = Here::current()) {
  emulator::load_matrices(r, 4, true, row, here);
}
inline void ldmatrix_x2(uint32_t (&r)[2], const void* row, Here here = Here::current()) {
  emulator::load_matrices(r, 2, false, row, here);
}
inline void ldmatrix_x2_trans(uint32_t (&r)[2], const void* row, Here here = Here::current()) {
  emulator::load_matrices(r, 2, true, row, here);
}
template <int kBytes>
void cp_async(void* shared, const void* global, bool valid = true, Here here = Here::current()) {
  emulator::async_copy(shared, global, kBytes, valid, here);
}
inline void cp_async_commit() { emulator::async_commit(); }
template <int kGroupsLeft>
void cp_async_wait() {
  emulator::async_wait(kGroupsLeft);
}
inline float exp2_fast(float x) { return std::exp2(x); }

#endif

/// Two numbers rounded to bf16 in one register, `low` in the lower half.
DEVICE uint32_t pack_bf16(float low, float high) {
  const bf16x2 pair = __floats2bfloat162_rn(low, high);
  uint32_t bits;
  memcpy(&bits, &pair, sizeof bits);
  return bits;
}

}  // namespace rmoe::cuda::ptx
