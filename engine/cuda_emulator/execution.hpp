// The CUDA execution model as kernels see it: grid, block, warp, thread, and where threads meet. Included by
// every emulated kernel; the scheduler behind it is scheduler.cpp.
#pragma once

// The toolkit defines this for nvcc only; its other attributes expand to nothing under g++.
#define __launch_bounds__(...)
#include <cstdint>
#include <cstring>
#include <cuda_bf16.h>
#include <cuda_runtime.h>
#include <source_location>
#include <type_traits>

/// For emulator code inlined into kernels: the checker must not see its memory accesses.
#define RMOE_UNCHECKED __attribute__((no_sanitize("thread")))

namespace rmoe::emulator {

using Location = std::source_location;

inline constexpr int kWarpSize = 32;
inline constexpr unsigned kMaxThreads = 1024;
inline constexpr int kMaxMeetings = 8;  // different masks of one warp in use at a time

/// What one lane brings to a collective operation of its warp, or takes from it.
struct alignas(16) LanePayload {
  uint32_t words[12];
};

/// The lanes of one mask in one collective operation.
struct Meeting {
  LanePayload in[kWarpSize];
  LanePayload out[kWarpSize];
};

/// Consecutive meetings of one mask. There are two buffers: a fast lane may enter the next meeting while
/// others still read the last one, but not the one after that.
struct MeetingPlace {
  uint32_t mask = 0, arrived = 0, readers = 0, generation = 0;
  const char* operation = nullptr;
  Location place;
  Meeting meetings[2];
};

struct Warp {
  uint32_t members = 0, exited = 0;
  MeetingPlace places[kMaxMeetings];
};

/// cp.async operations that were issued and not yet waited for.
struct AsyncCopies {
  struct Copy {
    void* to;
    const void* from;
    int bytes, zeros;  // copied, then filled
  };
  static constexpr int kMaxCopies = 512, kMaxGroups = 32;
  Copy* copies;  // [kMaxCopies]
  int count = 0, groups = 0;
  int group_end[kMaxGroups];
};

struct Block;

enum class ThreadState : uint8_t { fresh, ready, running, blocked, done };

struct Thread {
  uint3 index;
  int number, lane;  // in the block, in the warp
  Warp* warp;
  Block* block;
  ThreadState state;
  int fiber;
  const char* waits_in;
  Location place;
  uint64_t warp_time;  // of its last __syncwarp, on the checker's clock
  uint64_t fence_time;
  AsyncCopies async;
};

struct Block {
  uint3 index;
  dim3 dim, grid;
  uint64_t number;
  int threads, live, arrived;
  char* dynamic_shared;
  const char* barrier;
  Location barrier_place;
  uint64_t barrier_time, start_time;  // on the checker's clock
  int votes, all, any, result[2][3];  // of __syncthreads_count, _and, _or
  uint32_t generation;
};

/// The thread being executed; null outside kernels.
extern thread_local Thread* current __attribute__((tls_model("initial-exec")));

/// Ends the kernel with an error that names block, thread and launch.
[[noreturn]] void kernel_fails(cudaError_t code, const char* format, ...)
    __attribute__((format(printf, 2, 3)));

void block_barrier(Location place);
enum class Vote { count, all, any };
int block_vote(Vote vote, int predicate, Location place);

/// Waits for all lanes of `mask`; the last to arrive calls `combine` (if any) for all of them.
MeetingPlace& enter_meeting(uint32_t mask, const char* operation, Location place, const void* payload,
                            size_t bytes, void (*combine)(Meeting&, uint32_t mask), unsigned* buffer);
void warp_barrier(uint32_t mask, Location place);

void fence();

void* shared_variable(const void* key, size_t bytes, size_t alignment, Location place);

void async_copy(void* to, const void* from, int bytes, bool valid, Location place);
void async_commit();
void async_wait(int groups_left);

/// Declares accesses made on behalf of the current thread where instrumentation cannot see them.
void note_read(const void* address, size_t bytes);
void note_write(void* address, size_t bytes);
void note_atomic(void* address, size_t bytes);

/// A warp's collective in the eyes of one lane: what all lanes brought, and what is handed to this one.
class Visit {
 public:
  template <class Payload>
  RMOE_UNCHECKED Visit(uint32_t mask, const char* operation, Location place, const Payload& payload,
                       void (*combine)(Meeting&, uint32_t) = nullptr)
      : place_(enter_meeting(mask, operation, place, &payload, sizeof payload, combine, &buffer_)) {
    static_assert(std::is_trivially_copyable_v<Payload> && sizeof(Payload) <= sizeof(LanePayload));
  }
  RMOE_UNCHECKED ~Visit() { place_.readers--; }
  Visit(const Visit&) = delete;

  template <class T>
  RMOE_UNCHECKED T brought_by(int lane) const {
    T value;
    std::memcpy(static_cast<void*>(&value), place_.meetings[buffer_].in[lane].words, sizeof value);
    return value;
  }
  template <class T>
  RMOE_UNCHECKED T result() const {
    T value;
    std::memcpy(static_cast<void*>(&value), place_.meetings[buffer_].out[current->lane].words, sizeof value);
    return value;
  }

 private:
  unsigned buffer_ = 0;
  MeetingPlace& place_;
};

}  // namespace rmoe::emulator
