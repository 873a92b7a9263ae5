// What the ranks of one emulated NCCL communicator share: a piece of POSIX shared memory, so that ranks may
// be threads or processes.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <nccl.h>
#include <stdexcept>
#include <string>

namespace rmoe::emulator {

inline constexpr int kMaxRanks = 16;
inline constexpr size_t kChunkBytes = 256 << 10;   // of a collective, per rank
inline constexpr size_t kChannelBytes = 64 << 10;  // of a pair of ranks

enum class Collective : int { all_reduce, reduce_scatter, all_gather, broadcast, reduce, split };

/// What a rank believes that all of them are doing.
struct Call {
  Collective kind;
  size_t count;
  int type, operation, root;
  bool operator==(const Call&) const = default;
};

struct Channel {
  std::atomic<uint64_t> sent, received;
  char bytes[kChannelBytes];
};

struct SharedState {
  std::atomic<uint64_t> step[kMaxRanks];  // meetings reached
  std::atomic<int> process[kMaxRanks];    // 0: not yet there
  int device[kMaxRanks];
  std::atomic<uint64_t> finished[kMaxRanks];  // collectives
  Call call[kMaxRanks];
  int color[kMaxRanks], key[kMaxRanks];  // of a split
  char chunk[kMaxRanks][kChunkBytes];
  Channel channel[kMaxRanks][kMaxRanks];  // from, to
};

struct NcclFailure : std::runtime_error {
  NcclFailure(ncclResult_t code_, const std::string& message) : std::runtime_error(message), code(code_) {}
  ncclResult_t code;
};

struct Transfer {
  bool send;
  char* buffer;
  size_t bytes;
  int peer;
  size_t done = 0;
};

/// One rank's view of the others.
class Ranks {
 public:
  Ranks(const char* name, int count, int rank);
  ~Ranks();
  Ranks(const Ranks&) = delete;

  /// Waits until every rank is there; refuses two ranks on one device.
  void join(int device);
  /// The ranks of the same colour, in the order of their keys; null for NCCL_SPLIT_NOCOLOR. They still have
  /// to join.
  std::unique_ptr<Ranks> split(int color, int key);
  void run(const Call& call, const char* send, char* receive);
  void exchange(Transfer* transfers, size_t count);
  void abort() { aborted_ = true; }

  const int count, rank;

 private:
  void meet(const std::string& what);
  void wait_until(const std::string& what, const std::function<bool()>& done);
  std::string absent() const;
  void agree(const Call& call);
  void run_piece(const Call& call, size_t segment, size_t first, size_t n, const char* send, char* receive);
  bool progress(Transfer& transfer);

  SharedState* shared_;
  std::string name_;
  std::atomic<bool> aborted_{false};
  uint64_t steps_ = 0;
};

size_t element_bytes(ncclDataType_t type);  // 0: a type that is not emulated

/// "AllReduce(count 10, f32, sum)"
std::string show(const Call& call);

/// to = to (operation) from, rounded to the type at every step, as a ring does.
void reduce(char* to, const char* from, size_t count, ncclDataType_t type, ncclRedOp_t operation);
void divide(char* values, size_t count, ncclDataType_t type, int divisor);

}  // namespace rmoe::emulator
