// Device memory and pinned host memory. Device memory is one reserved range, so that "is this a device
// pointer" is a comparison; new memory is NaN and lies between guard bands.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace rmoe::emulator {

inline constexpr uintptr_t kHeapBase =
    0x500000000000;  // AddressSanitizer's own allocator sits at 0x600000000000
inline constexpr size_t kHeapSpan = size_t{64} << 30;

void* device_allocate(size_t bytes);  // null if there is not so much
bool device_free(void* memory);       // false if it was not allocated
size_t device_bytes_free();
bool is_device(const void* pointer);

/// Do `bytes` from `pointer` on lie in one live allocation?
bool in_device_memory(const void* pointer, size_t bytes);

void* pinned_allocate(size_t bytes);
bool pinned_free(void* memory);
bool is_pinned(uintptr_t address);

/// "a host pointer", "a pointer to freed or foreign device memory", ...: what a pointer is, for messages.
std::string describe(const void* pointer);

}  // namespace rmoe::emulator
