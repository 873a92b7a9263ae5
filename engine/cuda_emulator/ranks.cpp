#include "engine/cuda_emulator/ranks.hpp"

#include "engine/cuda_emulator/emulator.hpp"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <string_view>
#include <sys/mman.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace rmoe::emulator {
namespace {

/// A process that has ended may still be there as a zombie. Its file may vanish while it is read, which a
/// stream would answer with an exception.
bool has_died(int process) {
  if (kill(process, 0) != 0) return true;
  const int file = open(("/proc/" + std::to_string(process) + "/stat").c_str(), O_RDONLY);
  if (file < 0) return true;
  char text[512];
  const ssize_t bytes = read(file, text, sizeof text);
  close(file);
  if (bytes <= 0) return true;
  const std::string_view stat(text, static_cast<size_t>(bytes));
  const size_t state = stat.rfind(')') + 2;
  return state < stat.size() && (stat[state] == 'Z' || stat[state] == 'X');
}

}  // namespace

Ranks::Ranks(const char* name, int count_, int rank_) : count(count_), rank(rank_), name_(name) {
  const int file = shm_open(name, O_CREAT | O_RDWR, 0600);
  if (file < 0 || ftruncate(file, sizeof(SharedState)) != 0)
    throw NcclFailure(ncclSystemError, "no shared memory for the ranks");
  void* memory = mmap(nullptr, sizeof(SharedState), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  close(file);
  if (memory == MAP_FAILED) throw NcclFailure(ncclSystemError, "no shared memory for the ranks");
  shared_ = static_cast<SharedState*>(memory);
}

Ranks::~Ranks() { munmap(shared_, sizeof(SharedState)); }

void Ranks::join(int device) {
  shared_->device[rank] = device;
  shared_->process[rank] = getpid();
  try {
    meet("ncclCommInitRank");
  } catch (const NcclFailure&) {
    shm_unlink(name_.c_str());
    throw;
  }
  if (rank == 0) shm_unlink(name_.c_str());
  for (int other = 0; other < count; other++)
    if (other != rank && shared_->device[other] == device)
      throw NcclFailure(ncclInvalidUsage, "ranks " + std::to_string(std::min(rank, other)) + " and " +
                                              std::to_string(std::max(rank, other)) + " both use device " +
                                              std::to_string(device));
}

std::string Ranks::absent() const {
  std::string text;
  for (int other = 0; other < count; other++) {
    if (shared_->step[other] >= steps_) continue;
    const int process = shared_->process[other];
    text += (text.empty() ? "rank " : ", rank ") + std::to_string(other);
    text += process == 0        ? " (never came)"
            : has_died(process) ? " (process " + std::to_string(process) + " has died)"
                                : "";
    text += " after " + std::to_string(shared_->finished[other]) + " collectives";
  }
  return text.empty() ? "nobody" : text;
}

void Ranks::wait_until(const std::string& what, const std::function<bool()>& done) {
  using Clock = std::chrono::steady_clock;
  const auto began = Clock::now();
  for (int turns = 0; !done(); turns++) {
    if (aborted_) throw NcclFailure(ncclInternalError, "aborted in " + what);
    if (turns > 100) std::this_thread::sleep_for(std::chrono::microseconds(50));
    const double seconds = std::chrono::duration<double>(Clock::now() - began).count();
    if (seconds > options().collective_timeout_s)
      throw NcclFailure(ncclRemoteError, "rank " + std::to_string(rank) + " waited " +
                                             std::to_string(seconds) + " s in " + what + " after " +
                                             std::to_string(shared_->finished[rank]) +
                                             " collectives; missing: " + absent());
  }
}

void Ranks::meet(const std::string& what) {
  shared_->step[rank] = ++steps_;
  wait_until(what, [&] {
    return std::all_of(shared_->step, shared_->step + count,
                       [&](const auto& step) { return step >= steps_; });
  });
}

void Ranks::agree(const Call& call) {
  shared_->call[rank] = call;
  meet(show(call));
  for (int other = 0; other < count; other++)
    if (!(shared_->call[other] == call))
      throw NcclFailure(ncclInvalidUsage, "mismatched collectives: rank " + std::to_string(rank) + " calls " +
                                              show(call) + ", rank " + std::to_string(other) + " calls " +
                                              show(shared_->call[other]));
  meet(show(call));
}

std::unique_ptr<Ranks> Ranks::split(int color, int key) {
  shared_->color[rank] = color;
  shared_->key[rank] = key;
  agree({Collective::split, 0, 0, 0, 0});
  std::vector<std::pair<int, int>> members;  // key, rank
  for (int other = 0; other < count; other++)
    if (shared_->color[other] == color) members.emplace_back(shared_->key[other], other);
  meet("CommSplit");  // all have read
  if (color == NCCL_SPLIT_NOCOLOR) return nullptr;
  std::sort(members.begin(), members.end());
  const auto me = std::find(members.begin(), members.end(), std::pair(key, rank));
  const std::string name = name_ + "." + std::to_string(steps_) + "." + std::to_string(color);
  return std::make_unique<Ranks>(name.c_str(), static_cast<int>(members.size()),
                                 static_cast<int>(me - members.begin()));
}

/// Elements [first, first + n) of one segment: reduce-scatter has a segment per rank.
void Ranks::run_piece(const Call& call, size_t segment, size_t first, size_t n, const char* send,
                      char* receive) {
  const auto type = static_cast<ncclDataType_t>(call.type);
  const auto operation = static_cast<ncclRedOp_t>(call.operation);
  const size_t size = element_bytes(type), bytes = n * size;
  if (call.kind != Collective::broadcast || rank == call.root)
    std::memcpy(shared_->chunk[rank], send + (segment * call.count + first) * size, bytes);
  meet(show(call));
  char* to = receive + first * size;
  switch (call.kind) {
    case Collective::broadcast:
      std::memcpy(to, shared_->chunk[call.root], bytes);
      break;
    case Collective::all_gather:
      for (int r = 0; r < count; r++)
        std::memcpy(to + static_cast<size_t>(r) * call.count * size, shared_->chunk[r], bytes);
      break;
    default:
      if (call.kind == Collective::reduce_scatter && segment != static_cast<size_t>(rank)) break;
      if (call.kind == Collective::reduce && rank != call.root) break;
      std::memcpy(to, shared_->chunk[0], bytes);
      for (int r = 1; r < count; r++) reduce(to, shared_->chunk[r], n, type, operation);
      if (operation == ncclAvg) divide(to, n, type, count);
  }
  meet(show(call));
}

void Ranks::run(const Call& call, const char* send, char* receive) {
  agree(call);
  const size_t piece = kChunkBytes / element_bytes(static_cast<ncclDataType_t>(call.type));
  const size_t segments = call.kind == Collective::reduce_scatter ? static_cast<size_t>(count) : 1;
  for (size_t segment = 0; segment < segments; segment++)
    for (size_t first = 0; first < call.count; first += piece)
      run_piece(call, segment, first, std::min(piece, call.count - first), send, receive);
  shared_->finished[rank]++;
}

/// Moves what can be moved now; true when the transfer is complete.
bool Ranks::progress(Transfer& t) {
  Channel& channel = t.send ? shared_->channel[rank][t.peer] : shared_->channel[t.peer][rank];
  const uint64_t sent = channel.sent, received = channel.received;
  const size_t room = t.send ? kChannelBytes - (sent - received) : sent - received;
  const size_t start = (t.send ? sent : received) % kChannelBytes;
  const size_t n = std::min({room, t.bytes - t.done, kChannelBytes - start});
  if (t.send)
    std::memcpy(channel.bytes + start, t.buffer + t.done, n);
  else
    std::memcpy(t.buffer + t.done, channel.bytes + start, n);
  (t.send ? channel.sent : channel.received) += n;
  t.done += n;
  return t.done == t.bytes;
}

void Ranks::exchange(Transfer* transfers, size_t n) {
  std::string what = "send/recv";
  for (size_t i = 0; i < n; i++)
    what += (transfers[i].send ? " to " : " from ") + std::to_string(transfers[i].peer) + " " +
            std::to_string(transfers[i].bytes) + " bytes";
  wait_until(what, [&] {
    bool complete = true;
    for (size_t i = 0; i < n; i++)
      if (transfers[i].done < transfers[i].bytes) complete &= progress(transfers[i]);
    return complete;
  });
  shared_->finished[rank]++;
}

}  // namespace rmoe::emulator
