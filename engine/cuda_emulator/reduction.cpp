// Arithmetic of the emulated NCCL.
#include "engine/cuda_emulator/ranks.hpp"

#include <algorithm>
#include <cuda_bf16.h>

namespace rmoe::emulator {
namespace {

template <class T>
struct Wide {
  using type = T;
};
template <>
struct Wide<__nv_bfloat16> {
  using type = float;
};

template <class T>
typename Wide<T>::type widen(T x) {
  return static_cast<typename Wide<T>::type>(x);
}

template <class T, class Body>
void each(char* to, const char* from, size_t count, Body body) {
  T* values = reinterpret_cast<T*>(to);
  const T* others = reinterpret_cast<const T*>(from);
  for (size_t i = 0; i < count; i++) values[i] = static_cast<T>(body(widen(values[i]), widen(others[i])));
}

template <class Body>
void each_of(ncclDataType_t type, char* to, const char* from, size_t count, Body body) {
  switch (type) {
    case ncclFloat32:
      return each<float>(to, from, count, body);
    case ncclFloat64:
      return each<double>(to, from, count, body);
    case ncclBfloat16:
      return each<__nv_bfloat16>(to, from, count, body);
    case ncclInt32:
      return each<int32_t>(to, from, count, body);
    case ncclInt64:
      return each<int64_t>(to, from, count, body);
    case ncclUint64:
      return each<uint64_t>(to, from, count, body);
    default:
      return each<uint8_t>(to, from, count, body);
  }
}

const char* name_of(Collective kind) {
  constexpr const char* kNames[] = {"AllReduce", "ReduceScatter", "AllGather",
                                    "Broadcast", "Reduce",        "CommSplit"};
  return kNames[static_cast<int>(kind)];
}

}  // namespace

size_t element_bytes(ncclDataType_t type) {
  switch (type) {
    case ncclUint8:
      return 1;
    case ncclBfloat16:
      return 2;
    case ncclFloat32:
    case ncclInt32:
      return 4;
    case ncclInt64:
    case ncclUint64:
    case ncclFloat64:
      return 8;
    default:
      return 0;
  }
}

std::string show(const Call& call) {
  return std::string(name_of(call.kind)) + "(count " + std::to_string(call.count) + ", type " +
         std::to_string(call.type) + ", operation " + std::to_string(call.operation) + ", root " +
         std::to_string(call.root) + ")";
}

void reduce(char* to, const char* from, size_t count, ncclDataType_t type, ncclRedOp_t operation) {
  switch (operation) {
    case ncclMax:
      return each_of(type, to, from, count, [](auto a, auto b) { return std::max(a, b); });
    case ncclMin:
      return each_of(type, to, from, count, [](auto a, auto b) { return std::min(a, b); });
    default:
      return each_of(type, to, from, count, [](auto a, auto b) { return a + b; });
  }
}

void divide(char* values, size_t count, ncclDataType_t type, int divisor) {
  each_of(type, values, values, count, [&](auto a, auto) { return a / static_cast<decltype(a)>(divisor); });
}

}  // namespace rmoe::emulator
