// The stream, event and device calls of the CUDA runtime.
#include "engine/cuda_emulator/device.hpp"
#include "engine/cuda_emulator/emulator.hpp"
#include "engine/cuda_emulator/errors.hpp"

#include <chrono>
#include <cstring>

namespace rmoe::emulator {
namespace {

using Clock = std::chrono::steady_clock;

struct Event {
  Ticket ticket;  // the last cudaEventRecord
  bool recorded = false;
  std::shared_ptr<Clock::time_point> time = std::make_shared<Clock::time_point>();
};

Event& event_of(cudaEvent_t event) { return *reinterpret_cast<Event*>(event); }

cudaError_t no_stream(const char* call) {
  return report(cudaErrorInvalidResourceHandle, std::string(call) + ": no such stream");
}

}  // namespace
}  // namespace rmoe::emulator

using namespace rmoe::emulator;

extern "C" {

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  *stream = current_device().create_stream(!(flags & cudaStreamNonBlocking));
  return cudaSuccess;
}
cudaError_t cudaStreamCreate(cudaStream_t* stream) {
  return cudaStreamCreateWithFlags(stream, cudaStreamDefault);
}
cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned flags, int) {
  return cudaStreamCreateWithFlags(stream, flags);
}
cudaError_t cudaDeviceGetStreamPriorityRange(int* least, int* greatest) {
  *least = 0;
  *greatest = -5;
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  return current_device().destroy_stream(stream) ? cudaSuccess : no_stream("cudaStreamDestroy");
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  return current_device().knows(stream) ? current_device().wait_for_stream(stream)
                                        : no_stream("cudaStreamSynchronize");
}
cudaError_t cudaStreamQuery(cudaStream_t stream) {
  if (!current_device().knows(stream)) return no_stream("cudaStreamQuery");
  return current_device().idle(stream) ? current_device().sticky_error() : cudaErrorNotReady;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  if (!current_device().knows(stream)) return no_stream("cudaStreamWaitEvent");
  if (event_of(event).recorded)
    current_device().enqueue(stream, Operation{{}, {event_of(event).ticket}, false});
  return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = reinterpret_cast<cudaEvent_t>(new Event());
  return cudaSuccess;
}
cudaError_t cudaEventCreate(cudaEvent_t* event) { return cudaEventCreateWithFlags(event, cudaEventDefault); }
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete &event_of(event);
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  if (!current_device().knows(stream)) return no_stream("cudaEventRecord");
  Event& e = event_of(event);
  current_device().enqueue(stream, [time = e.time] { *time = Clock::now(); });
  e.ticket = current_device().now(stream);
  e.recorded = true;
  return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) { return current_device().wait(event_of(event).ticket); }
cudaError_t cudaEventQuery(cudaEvent_t event) {
  return event_of(event).ticket.reached() ? current_device().sticky_error() : cudaErrorNotReady;
}
cudaError_t cudaEventElapsedTime(float* ms, cudaEvent_t from, cudaEvent_t to) {
  if (!event_of(from).recorded || !event_of(to).recorded)
    return report(cudaErrorInvalidResourceHandle, "cudaEventElapsedTime: an event was never recorded");
  if (!event_of(from).ticket.reached() || !event_of(to).ticket.reached()) return cudaErrorNotReady;
  *ms = std::chrono::duration<float, std::milli>(*event_of(to).time - *event_of(from).time).count();
  return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize() { return current_device().wait_for_all(); }
cudaError_t cudaDeviceReset() {
  current_device().reset();
  report(cudaSuccess, "");
  return cudaSuccess;
}
cudaError_t cudaGetDeviceCount(int* count) {
  *count = options().devices;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int ordinal) {
  if (ordinal < 0 || ordinal >= options().devices)
    return report(cudaErrorInvalidDevice,
                  "device " + std::to_string(ordinal) + " of " + std::to_string(options().devices));
  set_current_ordinal(ordinal);
  return cudaSuccess;
}
cudaError_t cudaGetDevice(int* ordinal) {
  *ordinal = current_ordinal();
  return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int ordinal) {
  const bool hopper = options().architecture >= 90;
  *properties = {};
  std::strcpy(properties->name, hopper ? "Emulated H100" : "Emulated A100");
  properties->uuid.bytes[15] = static_cast<char>(ordinal + 1);
  properties->major = options().architecture / 10;
  properties->minor = options().architecture % 10;
  properties->warpSize = 32;
  properties->maxThreadsPerBlock = 1024;
  properties->multiProcessorCount = multiprocessors();
  properties->sharedMemPerBlock = 48 << 10;
  properties->sharedMemPerBlockOptin = shared_memory_limit();
  properties->sharedMemPerMultiprocessor = shared_memory_limit() + (1 << 10);
  properties->reservedSharedMemPerBlock = 1 << 10;
  properties->regsPerMultiprocessor = properties->regsPerBlock = 65536;
  properties->maxThreadsPerMultiProcessor = 2048;
  properties->maxBlocksPerMultiProcessor = 32;
  properties->totalGlobalMem = static_cast<size_t>(options().memory_mb) << 20;
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
  switch (attribute) {
    case cudaDevAttrMultiProcessorCount:
      *value = multiprocessors();
      return cudaSuccess;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      *value = static_cast<int>(shared_memory_limit());
      return cudaSuccess;
    case cudaDevAttrComputeCapabilityMajor:
      *value = options().architecture / 10;
      return cudaSuccess;
    case cudaDevAttrComputeCapabilityMinor:
      *value = options().architecture % 10;
      return cudaSuccess;
    default:
      return report(cudaErrorNotSupported,
                    "device attribute " + std::to_string(attribute) + " is not emulated");
  }
}

cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}
cudaError_t cudaDriverGetVersion(int* version) { return cudaRuntimeGetVersion(version); }

}  // extern "C"
