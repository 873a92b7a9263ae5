// A rehearsal: work on Device::cuda that is gone through on the host and not done. Tensors and work buffers
// get addresses of an arena without memory behind it; launches, products and copies are left out; what the
// host reads is zero. Since a step's host code does not depend on values of the device, a rehearsal takes and
// frees exactly what the step will, kernels' work buffers and fragmentation included, and so says what must
// be asked of the driver before the first tensor is made (train/step_memory.hpp). Device::meta cannot: no
// kernel is called there.
//
// Whoever enqueues work asks rehearsing() first: LAUNCH, engine/cuda/{context,gemm}.cpp, tensor.cu.
// Collectives belong to a communicator on paper (engine/comm/paper_communicator.hpp).
#pragma once

#include <cstdint>

namespace rmoe {

/// Does this thread rehearse?
bool rehearsing();

/// From its construction on this thread rehearses. Whatever was made on Device::cuda meanwhile must be gone
/// when it ends.
class Rehearsal {
 public:
  Rehearsal();
  ~Rehearsal();
  Rehearsal(const Rehearsal&) = delete;
  Rehearsal& operator=(const Rehearsal&) = delete;

  /// Bytes up to the end of the last live piece, now and at most: what one block must hold.
  int64_t top() const;
  int64_t high_water() const;
};

// For engine/memory.cpp.
namespace rehearsal {

void* allocate(int64_t bytes);
/// Was it made in a rehearsal?
bool owns(const void* block);
void release(void* block, int64_t bytes);

}  // namespace rehearsal
}  // namespace rmoe
