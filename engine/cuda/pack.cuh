// Neighbouring elements that move as one access of up to 16 bytes.
#pragma once

#include "engine/cuda/kernel_types.cuh"

namespace rmoe::cuda {

template <class T, int kWidth>
struct alignas(sizeof(T) * kWidth) Pack {
  T values[kWidth];
};

template <class T>
constexpr int kWidestPack = 16 / int(sizeof(T));

/// May rows of C elements that start at these pointers be read and written as packs? Null pointers may.
template <class T, class... Pointers>
bool in_packs(int64_t C, const Pointers*... pointers) {
  return C % kWidestPack<T> == 0 && ((reinterpret_cast<uintptr_t>(pointers) % 16 == 0) && ...);
}

template <int kWidth, class T>
DEVICE Pack<T, kWidth> load_pack(const T* from) {
  return *reinterpret_cast<const Pack<T, kWidth>*>(from);
}
template <int kWidth, class T>
DEVICE void store_pack(T* to, const Pack<T, kWidth>& pack) {
  *reinterpret_cast<Pack<T, kWidth>*>(to) = pack;
}

}  // namespace rmoe::cuda
