#include "engine/cuda_emulator/device.hpp"

#include "engine/cuda_emulator/emulator.hpp"
#include "engine/cuda_emulator/errors.hpp"

#include <algorithm>
#include <array>

namespace rmoe::emulator {

bool Ticket::reached() const { return !stream || stream->completed >= number; }

Device::Device() : default_stream_(std::make_shared<Stream>()) { streams_.push_back(default_stream_); }

uint64_t Device::random() {
  random_state_ = random_state_ * 6364136223846793005u + 1442695040888963407u;
  return random_state_ >> 33;
}

std::shared_ptr<Stream> Device::find(cudaStream_t stream) {
  if (!stream) return default_stream_;
  for (const auto& known : streams_)
    if (known.get() == reinterpret_cast<Stream*>(stream)) return known;
  return nullptr;
}

bool Device::knows(cudaStream_t stream) {
  std::lock_guard lock(mutex_);
  return find(stream) != nullptr;
}

cudaStream_t Device::create_stream(bool blocking) {
  std::lock_guard lock(mutex_);
  streams_.push_back(std::make_shared<Stream>());
  streams_.back()->blocking = blocking;
  return reinterpret_cast<cudaStream_t>(streams_.back().get());
}

bool Device::destroy_stream(cudaStream_t stream) {
  std::lock_guard lock(mutex_);
  const auto found = find(stream);
  if (!found || found == default_stream_) return false;
  run_until({found, found->enqueued});
  streams_.erase(std::find(streams_.begin(), streams_.end(), found));
  return true;
}

void Device::enqueue(cudaStream_t stream, Operation operation) {
  std::lock_guard lock(mutex_);
  const auto target = find(stream);
  if (!target) throw KernelError(cudaErrorInvalidResourceHandle, "work for a stream that does not exist");
  // The default stream starts after what the others hold, and they start after it.
  if (target == default_stream_) {
    for (const auto& other : streams_)
      if (other != target && other->blocking) operation.after.push_back({other, other->enqueued});
  } else if (target->blocking) {
    operation.after.push_back({default_stream_, default_stream_->enqueued});
  }
  target->pending.push_back(std::move(operation));
  target->enqueued++;
  if (options().seed % 2) run_something_early();
}

void Device::run_something_early() {
  if (random() % 2) return;
  Stream& stream = *streams_[random() % streams_.size()];
  if (stream.pending.empty() || stream.pending.front().waits_for_ranks) return;
  const auto& after = stream.pending.front().after;
  if (std::all_of(after.begin(), after.end(), [](const Ticket& ticket) { return ticket.reached(); }))
    run_next(stream);
}

void Device::run_next(Stream& stream) {
  const Operation operation = std::move(stream.pending.front());
  stream.pending.pop_front();
  for (const Ticket& ticket : operation.after) run_until(ticket);
  if (operation.run && sticky_error() == cudaSuccess) {
    try {
      operation.run();
    } catch (const KernelError& error) {
      report(error.code, error.what());
      std::lock_guard lock(error_mutex_);
      sticky_ = error.code;
      sticky_message_ = error.what();
    }
  }
  stream.completed++;
}

void Device::run_until(const Ticket& ticket) {
  while (!ticket.reached()) run_next(*ticket.stream);
}

Ticket Device::now(cudaStream_t stream) {
  std::lock_guard lock(mutex_);
  const auto found = find(stream);
  return {found, found ? found->enqueued : 0};
}

bool Device::idle(cudaStream_t stream) {
  std::lock_guard lock(mutex_);
  const auto found = find(stream);
  return !found || found->pending.empty();
}

cudaError_t Device::wait(const Ticket& ticket) {
  std::lock_guard lock(mutex_);
  count_host_synchronization();
  run_until(ticket);
  return sticky_error();
}

cudaError_t Device::wait_for_stream(cudaStream_t stream) {
  return stream ? wait(now(stream)) : wait_for_all();
}

cudaError_t Device::wait_for_all() {
  std::lock_guard lock(mutex_);
  count_host_synchronization();
  auto waiting = streams_;
  while (!waiting.empty()) {  // one operation of some stream at a time; the seed decides of which
    const size_t chosen = options().seed ? random() % waiting.size() : 0;
    if (waiting[chosen]->pending.empty())
      waiting.erase(waiting.begin() + static_cast<ptrdiff_t>(chosen));
    else
      run_next(*waiting[chosen]);
  }
  return sticky_error();
}

cudaError_t Device::sticky_error() {
  std::lock_guard lock(error_mutex_);
  return sticky_;
}

std::string Device::sticky_message() {
  std::lock_guard lock(error_mutex_);
  return sticky_message_;
}

void Device::reset() {
  std::lock_guard lock(mutex_);
  for (const auto& stream : streams_) {
    stream->pending.clear();
    stream->completed = stream->enqueued;
  }
  std::lock_guard error_lock(error_mutex_);
  sticky_ = cudaSuccess;
  sticky_message_.clear();
}

namespace {
constexpr int kMaxDevices = 16;
thread_local int ordinal = 0;
}  // namespace

Device& current_device() {
  static auto* devices = new std::array<Device, kMaxDevices>();
  return (*devices)[static_cast<size_t>(ordinal)];
}
int current_ordinal() { return ordinal; }
void set_current_ordinal(int chosen) { ordinal = chosen; }

}  // namespace rmoe::emulator
