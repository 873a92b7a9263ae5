// What nvcc gives kernels without being asked: built-in variables, barriers, warp collectives, atomics, fast
// math. Only what our kernels use; the toolkit's own headers supply the vector types and bf16 arithmetic.
#pragma once

#include "engine/cuda_emulator/execution.hpp"
#include "engine/cuda_emulator/launch.hpp"

#include <bit>
#include <cmath>

#define threadIdx (::rmoe::emulator::current->index)
#define blockIdx (::rmoe::emulator::current->block->index)
#define blockDim (::rmoe::emulator::current->block->dim)
#define gridDim (::rmoe::emulator::current->block->grid)
constexpr int warpSize = 32;

// ---- barriers
// ------------------------------------------------------------------------------------------------------ A
// default argument is evaluated where the function is called; __builtin_LINE() would give this header's line.
#define RMOE_HERE ::std::source_location place = ::std::source_location::current()

inline void __syncthreads(RMOE_HERE) { rmoe::emulator::block_barrier(place); }
inline int __syncthreads_count(int predicate, RMOE_HERE) {
  return rmoe::emulator::block_vote(rmoe::emulator::Vote::count, predicate, place);
}
inline int __syncthreads_and(int predicate, RMOE_HERE) {
  return rmoe::emulator::block_vote(rmoe::emulator::Vote::all, predicate, place);
}
inline int __syncthreads_or(int predicate, RMOE_HERE) {
  return rmoe::emulator::block_vote(rmoe::emulator::Vote::any, predicate, place);
}
inline void __syncwarp(unsigned mask = 0xffffffffu, RMOE_HERE) { rmoe::emulator::warp_barrier(mask, place); }
inline void __threadfence() { rmoe::emulator::fence(); }

// ---- warp collectives
// ----------------------------------------------------------------------------------------------
namespace rmoe::emulator {

/// Every lane brings `value` and takes that of lane `from`, or its own if `valid` is false.
template <class T>
RMOE_UNCHECKED T shuffle(const char* operation, unsigned mask, T value, int from, bool valid,
                         Location place) {
  const Visit visit(mask, operation, place, value);
  if (!valid) return value;
  if (!(mask >> from & 1))
    kernel_fails(cudaErrorLaunchFailure, "%s at %s:%u: lane %d reads lane %d, which is not in mask %08x",
                 operation, place.file_name(), place.line(), current->lane, from, mask);
  return visit.brought_by<T>(from);
}

RMOE_UNCHECKED inline unsigned ballot(const char* operation, unsigned mask, bool predicate, Location place) {
  const Visit visit(mask, operation, place, predicate);
  unsigned votes = 0;
  for (int lane = 0; lane < kWarpSize; lane++)
    if (mask >> lane & 1 && visit.brought_by<bool>(lane)) votes |= 1u << lane;
  return votes;
}

}  // namespace rmoe::emulator

template <class T>
T __shfl_sync(unsigned mask, T value, int from, int width = 32, RMOE_HERE) {
  const int lane = rmoe::emulator::current->lane;
  return rmoe::emulator::shuffle("__shfl_sync", mask, value, (lane & ~(width - 1)) | (from & (width - 1)),
                                 true, place);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32, RMOE_HERE) {
  const int lane = rmoe::emulator::current->lane, from = lane ^ bits;
  return rmoe::emulator::shuffle("__shfl_xor_sync", mask, value, from, from <= (lane | (width - 1)), place);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned distance, int width = 32, RMOE_HERE) {
  const int lane = rmoe::emulator::current->lane, from = lane - static_cast<int>(distance);
  return rmoe::emulator::shuffle("__shfl_up_sync", mask, value, from, from >= (lane & ~(width - 1)), place);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned distance, int width = 32, RMOE_HERE) {
  const int lane = rmoe::emulator::current->lane, from = lane + static_cast<int>(distance);
  return rmoe::emulator::shuffle("__shfl_down_sync", mask, value, from, from <= (lane | (width - 1)), place);
}
inline unsigned __ballot_sync(unsigned mask, int predicate, RMOE_HERE) {
  return rmoe::emulator::ballot("__ballot_sync", mask, predicate != 0, place);
}
inline int __any_sync(unsigned mask, int predicate, RMOE_HERE) {
  return rmoe::emulator::ballot("__any_sync", mask, predicate != 0, place) != 0;
}
inline int __all_sync(unsigned mask, int predicate, RMOE_HERE) {
  return rmoe::emulator::ballot("__all_sync", mask, predicate == 0, place) == 0;
}
RMOE_UNCHECKED inline unsigned __match_any_sync(unsigned mask, unsigned value, RMOE_HERE) {
  const rmoe::emulator::Visit visit(mask, "__match_any_sync", place, value);
  unsigned same = 0;
  for (int lane = 0; lane < 32; lane++)
    if (mask >> lane & 1 && visit.brought_by<unsigned>(lane) == value) same |= 1u << lane;
  return same;
}

// ---- atomics: real ones, because blocks run on several host threads
// --------------------------------------------------
namespace rmoe::emulator {

template <class T, class Change>
RMOE_UNCHECKED T atomic(T* address, Change change) {
  using Word =
      std::conditional_t<sizeof(T) == 2, uint16_t, std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>>;
  if (reinterpret_cast<uintptr_t>(address) % sizeof(T))
    kernel_fails(cudaErrorMisalignedAddress, "atomic on the misaligned address %p",
                 static_cast<void*>(address));
  note_atomic(address, sizeof(T));
  Word* word = reinterpret_cast<Word*>(address);
  Word seen = __atomic_load_n(word, __ATOMIC_RELAXED);
  for (;;) {
    const T old = std::bit_cast<T>(seen);
    const Word wanted = std::bit_cast<Word>(static_cast<T>(change(old)));
    if (__atomic_compare_exchange_n(word, &seen, wanted, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
      return old;
  }
}

}  // namespace rmoe::emulator

template <class T>
T atomicAdd(T* address, std::type_identity_t<T> value) {
  return rmoe::emulator::atomic(address, [=](T old) { return old + value; });
}
template <class T>
T atomicMax(T* address, std::type_identity_t<T> value) {
  return rmoe::emulator::atomic(address, [=](T old) { return old < value ? value : old; });
}
template <class T>
T atomicMin(T* address, std::type_identity_t<T> value) {
  return rmoe::emulator::atomic(address, [=](T old) { return value < old ? value : old; });
}
template <class T>
T atomicExch(T* address, std::type_identity_t<T> value) {
  return rmoe::emulator::atomic(address, [=](T) { return value; });
}
template <class T>
T atomicCAS(T* address, std::type_identity_t<T> expected, std::type_identity_t<T> value) {
  return rmoe::emulator::atomic(address, [=](T old) { return old == expected ? value : old; });
}

// ---- arithmetic: as accurate as libm, which the real ones are not
// ---------------------------------------------------
template <class T>
T __ldg(const T* address) {
  return *address;
}
inline float __expf(float x) { return std::exp(x); }
inline float __logf(float x) { return std::log(x); }
inline float __fdividef(float x, float y) { return x / y; }
inline float __frcp_rn(float x) { return 1.0f / x; }
inline float __frsqrt_rn(float x) { return 1.0f / std::sqrt(x); }
inline float __fmaf_rn(float x, float y, float z) { return std::fma(x, y, z); }
inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
inline double rsqrt(double x) { return 1.0 / std::sqrt(x); }
inline int __float_as_int(float x) { return std::bit_cast<int>(x); }
inline float __int_as_float(int x) { return std::bit_cast<float>(x); }
inline unsigned __float_as_uint(float x) { return std::bit_cast<unsigned>(x); }
inline float __uint_as_float(unsigned x) { return std::bit_cast<float>(x); }
inline int __popc(unsigned x) { return std::popcount(x); }
inline int __clz(int x) { return std::countl_zero(static_cast<unsigned>(x)); }
inline int __ffs(int x) { return x ? std::countr_zero(static_cast<unsigned>(x)) + 1 : 0; }
inline unsigned __umulhi(unsigned x, unsigned y) { return static_cast<unsigned>(uint64_t{x} * y >> 32); }

template <class T>
requires std::is_arithmetic_v<T>
constexpr T min(T a, T b) { return b < a ? b : a; }
template <class T>
requires std::is_arithmetic_v<T>
constexpr T max(T a, T b) { return a < b ? b : a; }

#undef RMOE_HERE
