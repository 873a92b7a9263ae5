// Copies, streams and events: what is not waited for is not there.
#include "engine/cuda_emulator/tests/device.hpp"
#include "engine/cuda_emulator/tests/kernels.hpp"

#include <doctest/doctest.h>

namespace rmoe::cuda::test {
namespace {

struct Stream {
  cudaStream_t stream;
  explicit Stream(unsigned flags = cudaStreamNonBlocking) {
    CUDA_CHECK(cudaStreamCreateWithFlags(&stream, flags));
  }
  ~Stream() { cudaStreamDestroy(stream); }
  operator cudaStream_t() const { return stream; }
};

struct Pinned {
  float* data = nullptr;
  explicit Pinned(size_t size, float value = 0.0f) {
    CUDA_CHECK(cudaMallocHost(reinterpret_cast<void**>(&data), size * sizeof(float)));
    std::fill_n(data, size, value);
  }
  ~Pinned() { cudaFreeHost(data); }
};

constexpr size_t kCount = 32, kBytes = kCount * sizeof(float);

/// What a second stream sees of a kernel's result in the first one.
float seen_by_other_stream(bool wait) {
  Array<float> ones(kCount, 1.0f), twos(kCount, 0.0f), copy(kCount, 0.0f);
  Pinned host(kCount);
  Stream producer, consumer;
  cudaEvent_t event;
  CUDA_CHECK(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
  copy_values(twos, ones, kCount, producer);
  CUDA_CHECK(cudaEventRecord(event, producer));
  if (wait) CUDA_CHECK(cudaStreamWaitEvent(consumer, event, 0));
  CUDA_CHECK(cudaMemcpyAsync(copy, twos, kBytes, cudaMemcpyDeviceToDevice, consumer));
  CUDA_CHECK(cudaMemcpyAsync(host.data, copy, kBytes, cudaMemcpyDeviceToHost, consumer));
  CUDA_CHECK(cudaStreamSynchronize(consumer));
  CUDA_CHECK(cudaEventDestroy(event));
  return host.data[5];
}

}  // namespace

TEST_CASE("a missing wait between streams shows as stale data") {
  const KeepOptions keep;
  emulator::options().seed = 0;
  CHECK(seen_by_other_stream(false) == 0.0f);
  for_seeds([] { CHECK(seen_by_other_stream(true) == 2.0f); });
}

TEST_CASE("a copy to pinned memory lands when the stream is waited for") {
  const KeepOptions keep;
  emulator::options().seed = 0;
  Array<float> x(kCount, 3.0f);
  Pinned host(kCount);
  Stream stream;
  CUDA_CHECK(cudaMemcpyAsync(host.data, x, kBytes, cudaMemcpyDeviceToHost, stream));
  CHECK(host.data[0] == 0.0f);
  CHECK(cudaStreamQuery(stream) == cudaErrorNotReady);
  CUDA_CHECK(cudaStreamSynchronize(stream));
  CHECK(host.data[0] == 3.0f);
  CHECK(cudaStreamQuery(stream) == cudaSuccess);
}

TEST_CASE("a copy from pinned memory reads it when the stream gets there") {
  const KeepOptions keep;
  emulator::options().seed = 0;
  Array<float> x(kCount, 0.0f);
  Pinned host(kCount, 1.0f);
  Stream stream;
  CUDA_CHECK(cudaMemcpyAsync(x, host.data, kBytes, cudaMemcpyHostToDevice, stream));
  host.data[0] = 7.0f;  // too early: the mistake to be seen
  CUDA_CHECK(cudaStreamSynchronize(stream));
  CHECK(x.values()[0] == 7.0f);
}

TEST_CASE("a copy of pageable memory makes the host wait, and is counted") {
  Array<float> x(kCount, 3.0f);
  std::vector<float> host(kCount);
  Stream stream;
  emulator::reset_counters();
  CUDA_CHECK(cudaMemcpyAsync(host.data(), x, kBytes, cudaMemcpyDeviceToHost, stream));
  CHECK(host[0] == 3.0f);
  CHECK(emulator::counters().host_synchronizations == 1);
}

TEST_CASE("launches, blocks, threads and host synchronisations are counted") {
  Array<float> x(1000, 1.0f), y(1000, 2.0f), z(1000);
  emulator::reset_counters();
  vector_add(z, x, y, 1000, nullptr);
  vector_add(z, x, y, 1000, nullptr);
  CHECK(emulator::counters().host_synchronizations == 0);
  CUDA_CHECK(cudaDeviceSynchronize());
  const emulator::Counters c = emulator::counters();
  CHECK(c.launches == 2);
  CHECK(c.blocks == 8);
  CHECK(c.threads == 2048);
  CHECK(c.host_synchronizations == 1);
  CHECK(c.allocations == 0);
}

TEST_CASE("the default stream is ordered with blocking streams and with no others") {
  for_seeds([] {
    Array<float> x(kCount, 1.0f), y(kCount, 0.0f), z(kCount, 0.0f);
    Stream blocking(cudaStreamDefault);
    copy_values(y, x, kCount, blocking);
    copy_values(z, y, kCount, nullptr);
    copy_values(y, z, kCount, blocking);
    CUDA_CHECK(cudaStreamSynchronize(blocking));
    CHECK(y.values()[0] == 4.0f);
  });
  const KeepOptions keep;
  emulator::options().seed = 0;
  Array<float> x(kCount, 1.0f), y(kCount, 0.0f), z(kCount, 0.0f);
  Stream free;
  copy_values(y, x, kCount, free);
  copy_values(z, y, kCount, nullptr);
  CUDA_CHECK(cudaStreamSynchronize(nullptr));
  CHECK(z.values()[0] == 1.0f);
}

TEST_CASE("events take their time from when their stream reached them") {
  Array<float> x(kCount, 1.0f), y(kCount);
  cudaEvent_t before, after;
  CUDA_CHECK(cudaEventCreate(&before));
  CUDA_CHECK(cudaEventCreate(&after));
  CUDA_CHECK(cudaEventRecord(before, nullptr));
  copy_values(y, x, kCount, nullptr);
  CUDA_CHECK(cudaEventRecord(after, nullptr));
  CUDA_CHECK(cudaEventSynchronize(after));
  float ms = -1.0f;
  CUDA_CHECK(cudaEventElapsedTime(&ms, before, after));
  CHECK(ms >= 0.0f);
  CHECK(cudaEventQuery(after) == cudaSuccess);
  cudaEventDestroy(before);
  cudaEventDestroy(after);
}

TEST_CASE("copies are strict about directions and ranges") {
  Array<float> x(kCount, 1.0f), y(kCount);
  std::vector<float> host(kCount);
  CHECK(cudaMemcpy(host.data(), x, kBytes, cudaMemcpyHostToDevice) == cudaErrorInvalidMemcpyDirection);
  CHECK(has(cudaGetErrorString(cudaErrorInvalidMemcpyDirection), "to a host pointer"));
  CHECK(cudaMemcpy(y, host.data(), kBytes, cudaMemcpyDeviceToDevice) == cudaErrorInvalidMemcpyDirection);
  CHECK(cudaMemcpy(y, x, kBytes + 1, cudaMemcpyDeviceToDevice) == cudaErrorInvalidValue);
  CHECK(cudaMemsetAsync(host.data(), 0, kBytes, nullptr) == cudaErrorInvalidValue);
  CHECK(cudaMemsetAsync(x + 1, 0, kBytes, nullptr) == cudaErrorInvalidValue);
  CHECK(cudaFree(host.data()) == cudaErrorInvalidValue);
  CHECK(cudaFree(x + 1) == cudaErrorInvalidValue);
  cudaGetLastError();
}

TEST_CASE("work in a stream that is gone is refused") {
  Array<float> x(kCount, 1.0f), y(kCount);
  cudaStream_t gone;
  CUDA_CHECK(cudaStreamCreateWithFlags(&gone, cudaStreamNonBlocking));
  CUDA_CHECK(cudaStreamDestroy(gone));
  CHECK_THROWS(copy_values(y, x, kCount, gone));
  CHECK(cudaStreamSynchronize(gone) == cudaErrorInvalidResourceHandle);
  CHECK(cudaMemcpyAsync(y, x, kBytes, cudaMemcpyDeviceToDevice, gone) == cudaErrorInvalidResourceHandle);
  cudaGetLastError();
}

TEST_CASE("memory ends, and a test decides where") {
  const KeepOptions keep;
  emulator::options().memory_mb = 1;
  size_t available = 0, total = 0;
  CUDA_CHECK(cudaMemGetInfo(&available, &total));
  CHECK(total == size_t{1} << 20);
  void* memory = nullptr;
  CHECK(cudaMalloc(&memory, (size_t{1} << 20) + 1) == cudaErrorMemoryAllocation);
  CHECK(memory == nullptr);
  cudaGetLastError();
}

TEST_CASE("the number of multiprocessors is what a test sets") {
  const KeepOptions keep;
  int count = 0;
  CUDA_CHECK(cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, 0));
  CHECK(count == 108);
  emulator::options().multiprocessors = 3;
  cudaDeviceProp properties;
  CUDA_CHECK(cudaGetDeviceProperties(&properties, 0));
  CHECK(properties.multiProcessorCount == 3);
}

}  // namespace rmoe::cuda::test
