// The emulated device: its streams and its health. One per ordinal; host threads choose with cudaSetDevice.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cuda_runtime_api.h>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace rmoe::emulator {

struct Stream;

/// A point in a stream: everything enqueued before it.
struct Ticket {
  std::shared_ptr<Stream> stream;
  uint64_t number = 0;
  bool reached() const;
};

struct Operation {
  std::function<void()> run;  // may be empty
  std::vector<Ticket> after;
  bool waits_for_ranks = false;  // never run before someone waits for it
};

/// Lazy: nothing runs until something waits for it, so that a missing wait shows as stale data. Odd seeds run
/// some operations earlier, so that a buffer overwritten while others still read it shows too.
struct Stream {
  std::deque<Operation> pending;
  uint64_t enqueued = 0, completed = 0;
  bool blocking = true;  // ordered with the default stream
};

class Device {
 public:
  Device();

  /// Puts work into a stream. Throw KernelError in it to make the device unusable, as a failed kernel does.
  void enqueue(cudaStream_t stream, Operation operation);
  void enqueue(cudaStream_t stream, std::function<void()> run) {
    enqueue(stream, Operation{std::move(run), {}, false});
  }

  cudaStream_t create_stream(bool blocking);
  bool destroy_stream(cudaStream_t stream);
  bool knows(cudaStream_t stream);

  Ticket now(cudaStream_t stream);
  bool idle(cudaStream_t stream);

  // These make the host wait; they return the device's sticky error.
  cudaError_t wait(const Ticket& ticket);
  cudaError_t wait_for_stream(cudaStream_t stream);
  cudaError_t wait_for_all();

  cudaError_t sticky_error();
  std::string sticky_message();
  void reset();

 private:
  std::shared_ptr<Stream> find(cudaStream_t stream);
  void run_until(const Ticket& ticket);
  void run_next(Stream& stream);
  void run_something_early();
  uint64_t random();

  std::recursive_mutex mutex_;
  std::shared_ptr<Stream> default_stream_;
  std::vector<std::shared_ptr<Stream>> streams_;  // the default one first
  uint64_t random_state_ = 0x9e3779b97f4a7c15u;
  std::mutex error_mutex_;  // its own: errors may be asked for while an operation runs
  cudaError_t sticky_ = cudaSuccess;
  std::string sticky_message_;
};

Device& current_device();
int current_ordinal();
void set_current_ordinal(int ordinal);

int multiprocessors();
size_t shared_memory_limit();  // of one block, with opt-in

void count_launch(uint64_t blocks, uint64_t threads);
void count_host_synchronization();
void count_allocation();

}  // namespace rmoe::emulator
