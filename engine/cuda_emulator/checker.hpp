// Finds data races, accesses out of bounds, reads of memory nobody wrote, reads of asynchronous copies nobody
// waited for, and host memory in kernels. Kernels compiled with -fsanitize=thread call back for every access;
// there is no libtsan, checker.cpp is all that is called. What it reports does not depend on the order
// threads ran in.
#pragma once

#include <cstddef>
#include <cstdint>

namespace rmoe::emulator {

struct Block;
struct Launch;
struct Runner;
struct Thread;

namespace checker {

bool enabled();

// Memory comes and goes.
void device_allocated(const void* address, size_t bytes);
void device_freed(const void* address, size_t bytes);
void device_written(const void* address, size_t bytes);  // by the host or by a library
void shared_allocated(const void* address, size_t bytes);
bool written(const void* address, size_t bytes);  // true where nothing is known

// Time passes: what was done before is ordered before what comes after.
void launch_begins();
void block_begins(const Runner& runner);
void barrier(Block& block);
void warp_barrier(Thread& thread, uint32_t lanes);

// cp.async: from issue to wait, nobody may touch the destination.
void async_issued(const void* to, size_t bytes);
void async_landed(const void* to, size_t bytes);

}  // namespace checker
}  // namespace rmoe::emulator
