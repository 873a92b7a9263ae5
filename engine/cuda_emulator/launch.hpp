// A kernel with its arguments on the way to the device.
#pragma once

#include "engine/cuda_emulator/execution.hpp"

#include <tuple>
#include <utility>

namespace rmoe::emulator {

struct Launch {
  const char* name;
  Location place;
  const void* kernel;
  dim3 grid, block;
  size_t dynamic_bytes;
  const void* arguments;  // copied when the launch is enqueued
  size_t argument_bytes;
  void (*call)(const void* kernel, const void* arguments);
  uint64_t number = 0;
};

/// The pointers among a kernel's arguments, to be looked at before it starts.
struct PointerArgument {
  int position;
  const void* value;
};

/// Checks the launch as CUDA does, and puts it into its stream.
void enqueue_launch(Launch launch, cudaStream_t stream, const PointerArgument* pointers, int pointer_count);

namespace detail {

template <class... P, size_t... I>
RMOE_UNCHECKED void call_kernel(void (*kernel)(P...), const std::tuple<P...>& arguments,
                                std::index_sequence<I...>) {
  kernel(std::get<I>(arguments)...);
}

template <class... P, size_t... I>
int find_pointers(const std::tuple<P...>& arguments, PointerArgument* found, std::index_sequence<I...>) {
  int count = 0;
  (
      [&] {
        if constexpr (std::is_pointer_v<std::tuple_element_t<I, std::tuple<P...>>>)
          found[count++] = {static_cast<int>(I) + 1, static_cast<const void*>(std::get<I>(arguments))};
      }(),
      ...);
  return count;
}

}  // namespace detail

template <class... P, class... A>
void launch(const char* name, Location place, void (*kernel)(P...), dim3 grid, dim3 block,
            size_t dynamic_bytes, cudaStream_t stream, A&&... arguments) {
  static_assert(sizeof...(P) == sizeof...(A), "wrong number of kernel arguments");
  static_assert((std::is_trivially_copyable_v<P> && ...), "kernel arguments are copied as bytes");
  using Arguments = std::tuple<P...>;
  constexpr auto all = std::index_sequence_for<P...>{};
  const Arguments values(static_cast<P>(std::forward<A>(arguments))...);
  PointerArgument pointers[sizeof...(P) + 1] = {};
  const int pointer_count = detail::find_pointers(values, pointers, all);
  const auto call = [](const void* function, const void* bytes) RMOE_UNCHECKED {
    detail::call_kernel(reinterpret_cast<void (*)(P...)>(const_cast<void*>(function)),
                        *static_cast<const Arguments*>(bytes), std::index_sequence_for<P...>{});
  };
  enqueue_launch({name, place, reinterpret_cast<const void*>(kernel), grid, block, dynamic_bytes, &values,
                  sizeof values, call},
                 stream, pointers, pointer_count);
}

}  // namespace rmoe::emulator
