// What the engine needs of a CUDA device, besides kernels. Weak symbols, like the kernels
// (engine/kernel.hpp): a program linked without the CUDA backend has none of them, and a tensor on
// Device::cuda is refused there.
//
// Everything works in one stream, cuda::stream() of context.hpp: what is enqueued later sees what was
// enqueued before, and memory that is freed on the host may be handed out again at once.
#pragma once

#include "engine/dtype.hpp"

namespace rmoe::cuda {

// These three are always defined.

/// Is the CUDA backend part of this program?
bool linked();
/// Is there a device that can be used?
bool available();
/// If not: "this build has no CUDA backend", or "no CUDA device is visible".
const char* why_unavailable();

[[gnu::weak]] int device_count();
/// The device of this process; before anything else is asked of it.
[[gnu::weak]] void select_device(int device);
/// Waits until everything enqueued is done; errors of kernels come up here at the latest.
[[gnu::weak]] void synchronize();

/// Device memory from the driver, aligned to 256 bytes at least; null if it has not so much.
[[gnu::weak]] void* take_from_driver(int64_t bytes);
/// Waits for what is enqueued.
[[gnu::weak]] void give_to_driver(void* block);
/// Bytes of the device that nobody has, and all; after the libraries have taken theirs.
struct DeviceSpace {
  int64_t left, all;
};
[[gnu::weak]] DeviceSpace device_space();

// Copies of bytes, in the order of the stream. `src` may be used again at once; what comes to the host is
// there, and so the host has waited for everything enqueued.
[[gnu::weak]] void copy_to_device(void* dst, const void* src, int64_t bytes);
[[gnu::weak]] void copy_to_host(void* dst, const void* src, int64_t bytes);

// The engine's own operations on values (engine/tensor.hpp), for every pair of element types.
[[gnu::weak]] void fill(void* dst, DType dtype, double value, int64_t n);
[[gnu::weak]] void convert(void* dst, DType to, const void* src, DType from, int64_t n);
[[gnu::weak]] void accumulate(void* dst, const void* src, DType dtype, int64_t n);

}  // namespace rmoe::cuda
