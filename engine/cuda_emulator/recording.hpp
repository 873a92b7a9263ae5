// What the host enqueues, written down, so that a test can compare two steps: a CUDA graph captured of the
// one does the other as far as they are equal.
#pragma once

#include "engine/cuda_emulator/launch.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace rmoe::emulator {

struct Enqueued {
  std::string what;             // the kernel with its types, "copy", "fill", "product"
  std::vector<uint64_t> shape;  // of a launch: grid, block, dynamic shared memory; else sizes
  /// Arguments in words of eight bytes: addresses and values.
  std::vector<uint64_t> words;
};

void start_recording();
std::vector<Enqueued> stop_recording();

/// Is this word an address of device memory?
bool is_device_address(uint64_t word);

// For the emulator itself; nothing if nobody asks.
void record(const Launch& launch);
void record(const char* what, std::vector<uint64_t> shape, std::vector<const void*> pointers,
            std::vector<uint64_t> values = {});

}  // namespace rmoe::emulator
