// The NCCL calls we use, behind the vendor's header. What makes the real one hang is reported here:
// collectives that do not match, and ranks that do not come.
#include "engine/cuda_emulator/checker.hpp"
#include "engine/cuda_emulator/device.hpp"
#include "engine/cuda_emulator/errors.hpp"
#include "engine/cuda_emulator/heap.hpp"
#include "engine/cuda_emulator/ranks.hpp"

#include <chrono>
#include <cstdio>
#include <cstring>
#include <memory>
#include <mutex>
#include <random>
#include <set>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vector>

namespace rmoe::emulator {
namespace {

struct Communicator {
  bool blocking = true;
  std::unique_ptr<Ranks> ranks;
  std::atomic<ncclResult_t> state{ncclSuccess};
  std::atomic<int> under_way{0};  // launches
  std::mutex mutex;
  std::string message;

  void fail(ncclResult_t code, const std::string& text) {
    std::lock_guard lock(mutex);
    if (state != ncclSuccess && state != ncclInProgress) return;
    message = text;
    state = code;
  }
};

}  // namespace
}  // namespace rmoe::emulator

/// The vendor's handle; operations under way keep what is behind it.
struct ncclComm {
  std::shared_ptr<rmoe::emulator::Communicator> communicator;
};

namespace rmoe::emulator {
namespace {

constexpr auto kLate = std::chrono::milliseconds(1);
thread_local std::string no_communicator_message;

ncclResult_t refuse_call(const char* call, const std::string& text, ncclResult_t code = ncclInvalidArgument) {
  no_communicator_message = std::string(call) + ": " + text;
  explain(no_communicator_message);
  return code;
}

std::mutex handles_mutex;
std::set<ncclComm_t> handles;  // that were neither destroyed nor aborted

ncclComm_t new_handle(const std::shared_ptr<Communicator>& communicator) {
  std::lock_guard lock(handles_mutex);
  return *handles.insert(new ncclComm{communicator}).first;
}

bool is_alive(ncclComm_t comm) {
  std::lock_guard lock(handles_mutex);
  return handles.count(comm) > 0;
}

bool forget(ncclComm_t comm) {
  std::lock_guard lock(handles_mutex);
  return handles.erase(comm) > 0;
}

ncclResult_t refuse_handle(const char* call) {
  return refuse_call(call, "no communicator: never made, or destroyed, or aborted");
}

void guarded(Communicator& c, const std::function<void()>& body) {
  if (c.state != ncclSuccess) return;
  try {
    body();
  } catch (const NcclFailure& failure) {
    c.fail(failure.code, failure.what());
  } catch (const std::exception& error) {
    c.fail(ncclInternalError, error.what());
  }
}

// ---- groups: calls are collected and put into their streams together
// -------------------------------------------------

struct Posted {
  ncclComm_t comm;
  cudaStream_t stream;
  std::vector<std::function<void(Ranks&)>> collectives;
  std::vector<Transfer> transfers;
};
thread_local int group_depth = 0;
thread_local std::vector<Posted> posted;

Posted& posted_for(ncclComm_t comm, cudaStream_t stream) {
  for (Posted& p : posted)
    if (p.comm == comm && p.stream == stream) return p;
  posted.push_back({comm, stream, {}, {}});
  return posted.back();
}

void run_transfers(Ranks& ranks, std::vector<Transfer> transfers) {
  ranks.exchange(transfers.data(), transfers.size());
  for (const Transfer& t : transfers)
    if (!t.send) checker::device_written(t.buffer, t.bytes);
}

void flush() {
  for (Posted& p : std::exchange(posted, {})) {
    const auto run = [c = p.comm->communicator, collectives = std::move(p.collectives),
                      transfers = std::move(p.transfers)] {
      for (const auto& collective : collectives) guarded(*c, [&] { collective(*c->ranks); });
      if (!transfers.empty()) guarded(*c, [&] { run_transfers(*c->ranks, transfers); });
      --c->under_way;
    };
    ++p.comm->communicator->under_way;
    current_device().enqueue(p.stream, Operation{run, {}, true});
  }
}

ncclResult_t posted_now() {
  if (group_depth == 0) flush();
  return ncclSuccess;
}

ncclResult_t check_ready(const char* call, ncclComm_t comm) {
  if (!is_alive(comm)) return refuse_handle(call);
  const ncclResult_t state = comm->communicator->state;
  if (state == ncclInProgress)
    return refuse_call(call, "the communicator is not ready yet", ncclInvalidUsage);
  return state;
}

ncclResult_t check_call(const char* call, ncclComm_t comm, ncclDataType_t type, cudaStream_t stream) {
  if (const auto error = check_ready(call, comm)) return error;
  if (!element_bytes(type)) return refuse_call(call, "this data type is not emulated");
  if (!current_device().knows(stream)) return refuse_call(call, "no such stream");
  return ncclSuccess;
}

ncclResult_t check_buffer(const char* call, const void* buffer, size_t bytes) {
  if (bytes == 0 || in_device_memory(buffer, bytes)) return ncclSuccess;
  return refuse_call(call, std::to_string(bytes) + " bytes wanted, the buffer is " + describe(buffer) +
                               " or its allocation ends before");
}

ncclResult_t check_operation(const char* call, ncclRedOp_t operation) {
  const bool known =
      operation == ncclSum || operation == ncclAvg || operation == ncclMax || operation == ncclMin;
  return known ? ncclSuccess : refuse_call(call, "this reduction is not emulated");
}

ncclResult_t post_collective(const char* name, const Call& call, const void* send, void* receive,
                             ncclComm_t comm, cudaStream_t stream) {
  const auto type = static_cast<ncclDataType_t>(call.type);
  if (const auto error = check_call(name, comm, type, stream)) return error;
  if (const auto error = check_operation(name, static_cast<ncclRedOp_t>(call.operation))) return error;
  const size_t ranks = static_cast<size_t>(comm->communicator->ranks->count),
               bytes = call.count * element_bytes(type);
  const size_t send_bytes = call.kind == Collective::reduce_scatter ? ranks * bytes : bytes;
  const size_t receive_bytes = call.kind == Collective::all_gather ? ranks * bytes : bytes;
  const bool receives = call.kind != Collective::reduce || comm->communicator->ranks->rank == call.root;
  const bool sends = call.kind != Collective::broadcast || comm->communicator->ranks->rank == call.root;
  if (sends)
    if (const auto error = check_buffer(name, send, send_bytes)) return error;
  if (receives)
    if (const auto error = check_buffer(name, receive, receive_bytes)) return error;
  posted_for(comm, stream).collectives.push_back([=](Ranks& r) {
    r.run(call, static_cast<const char*>(send), static_cast<char*>(receive));
    if (receives) checker::device_written(receive, receive_bytes);
  });
  return posted_now();
}

ncclResult_t post_transfer(const char* name, bool send, void* buffer, size_t count, ncclDataType_t type,
                           int peer, ncclComm_t comm, cudaStream_t stream) {
  if (const auto error = check_call(name, comm, type, stream)) return error;
  if (peer < 0 || peer >= comm->communicator->ranks->count) return refuse_call(name, "no such peer");
  const size_t bytes = count * element_bytes(type);
  if (const auto error = check_buffer(name, buffer, bytes)) return error;
  posted_for(comm, stream).transfers.push_back({send, static_cast<char*>(buffer), bytes, peer});
  return posted_now();
}

/// Work of all ranks on a communicator: in the background for one that does not block.
ncclResult_t meet_for(const char* call, const std::shared_ptr<Communicator>& c,
                      const std::function<void()>& work) {
  const auto body = [c, work] {
    try {
      work();
    } catch (const NcclFailure& failure) {
      c->fail(failure.code, failure.what());
    }
  };
  c->state = ncclInProgress;
  if (!c->blocking) {
    std::thread(body).detach();
    return ncclInProgress;
  }
  body();
  return c->state == ncclSuccess ? ncclSuccess : refuse_call(call, c->message, c->state);
}

ncclResult_t initialise(ncclComm_t* comm, int count, ncclUniqueId id, int rank, bool blocking) {
  *comm = nullptr;
  if (count < 1 || count > kMaxRanks || rank < 0 || rank >= count)
    return refuse_call("ncclCommInitRank", "rank " + std::to_string(rank) + " of " + std::to_string(count));
  auto c = std::make_shared<Communicator>();
  c->blocking = blocking;
  try {
    c->ranks = std::make_unique<Ranks>(id.internal, count, rank);
  } catch (const NcclFailure& failure) {
    return refuse_call("ncclCommInitRank", failure.what(), failure.code);
  }
  const ncclResult_t result = meet_for("ncclCommInitRank", c, [c, device = current_ordinal()] {
    c->ranks->join(device);
    c->state = ncclSuccess;
  });
  if (result == ncclSuccess || result == ncclInProgress) *comm = new_handle(c);
  return result;
}

/// The child's handle comes some time after the parent is ready again, and the child is ready later still:
/// who does not block has to wait for all three (NVIDIA/nccl#1472).
void split(const std::shared_ptr<Communicator>& parent, int color, int key, int device, ncclComm_t* comm) {
  auto ranks = parent->ranks->split(color, key);
  parent->state = ncclSuccess;
  if (!ranks) return;
  auto child = std::make_shared<Communicator>();
  child->blocking = parent->blocking;
  child->ranks = std::move(ranks);
  child->state = ncclInProgress;
  std::this_thread::sleep_for(kLate);
  __atomic_store_n(comm, new_handle(child), __ATOMIC_RELEASE);
  try {
    child->ranks->join(device);
    std::this_thread::sleep_for(kLate);
    child->state = ncclSuccess;
  } catch (const NcclFailure& failure) {
    child->fail(failure.code, failure.what());
  }
}

}  // namespace
}  // namespace rmoe::emulator

using namespace rmoe::emulator;

extern "C" {

ncclResult_t ncclGetVersion(int* version) {
  *version = NCCL_VERSION_CODE;
  return ncclSuccess;
}
ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  std::random_device random;
  *id = {};
  std::snprintf(id->internal, sizeof id->internal, "/rmoe_ranks_%d_%08x%08x", getpid(), random(), random());
  return ncclSuccess;
}
ncclResult_t ncclCommInitRank(ncclComm_t* comm, int count, ncclUniqueId id, int rank) {
  return initialise(comm, count, id, rank, true);
}
ncclResult_t ncclCommInitRankConfig(ncclComm_t* comm, int count, ncclUniqueId id, int rank,
                                    ncclConfig_t* config) {
  return initialise(comm, count, id, rank, !config || config->blocking != 0);
}
ncclResult_t ncclCommSplit(ncclComm_t comm, int color, int key, ncclComm_t* child, ncclConfig_t* config) {
  *child = nullptr;
  if (const auto error = check_ready("ncclCommSplit", comm)) return error;
  if (config) return refuse_call("ncclCommSplit", "another config than the parent's is not emulated");
  if (color < 0 && color != NCCL_SPLIT_NOCOLOR)
    return refuse_call("ncclCommSplit", "color " + std::to_string(color));
  const auto& c = comm->communicator;
  if (group_depth > 0 || c->under_way > 0)
    return refuse_call("ncclCommSplit", "collectives of the parent are under way, which may hang",
                       ncclInvalidUsage);
  return meet_for("ncclCommSplit", c,
                  [=, device = current_ordinal()] { split(c, color, key, device, child); });
}
ncclResult_t ncclCommFinalize(ncclComm_t comm) {
  return is_alive(comm) ? ncclSuccess : refuse_handle("ncclCommFinalize");
}
ncclResult_t ncclCommDestroy(ncclComm_t comm) {
  if (!forget(comm)) return refuse_handle("ncclCommDestroy");
  current_device().wait_for_all();
  delete comm;
  return ncclSuccess;
}
/// What waits for other ranks gives up; this rank is then absent for them.
ncclResult_t ncclCommAbort(ncclComm_t comm) {
  if (!forget(comm)) return refuse_handle("ncclCommAbort");
  comm->communicator->ranks->abort();
  delete comm;
  return ncclSuccess;
}
ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t* error) {
  *error = comm->communicator->state;
  return ncclSuccess;
}
ncclResult_t ncclCommCount(const ncclComm_t comm, int* count) {
  const ncclResult_t error = check_ready("ncclCommCount", comm);
  if (error == ncclSuccess) *count = comm->communicator->ranks->count;
  return error;
}
ncclResult_t ncclCommUserRank(const ncclComm_t comm, int* rank) {
  const ncclResult_t error = check_ready("ncclCommUserRank", comm);
  if (error == ncclSuccess) *rank = comm->communicator->ranks->rank;
  return error;
}
const char* ncclGetErrorString(ncclResult_t result) {
  switch (result) {
    case ncclSuccess:
      return "no error";
    case ncclSystemError:
      return "unhandled system error";
    case ncclInternalError:
      return "internal error";
    case ncclInvalidArgument:
      return "invalid argument";
    case ncclInvalidUsage:
      return "invalid usage";
    case ncclRemoteError:
      return "remote process exited or there was a network error";
    case ncclInProgress:
      return "NCCL operation in progress";
    default:
      return "unknown result code";
  }
}
const char* ncclGetLastError(ncclComm_t comm) {
  if (!comm) return no_communicator_message.c_str();
  thread_local std::string text;
  std::lock_guard lock(comm->communicator->mutex);
  text = comm->communicator->message.empty() ? no_communicator_message : comm->communicator->message;
  return text.c_str();
}

ncclResult_t ncclAllReduce(const void* send, void* receive, size_t count, ncclDataType_t type,
                           ncclRedOp_t operation, ncclComm_t comm, cudaStream_t stream) {
  return post_collective("ncclAllReduce", {Collective::all_reduce, count, type, operation, 0}, send, receive,
                         comm, stream);
}
ncclResult_t ncclReduceScatter(const void* send, void* receive, size_t count, ncclDataType_t type,
                               ncclRedOp_t operation, ncclComm_t comm, cudaStream_t stream) {
  return post_collective("ncclReduceScatter", {Collective::reduce_scatter, count, type, operation, 0}, send,
                         receive, comm, stream);
}
ncclResult_t ncclAllGather(const void* send, void* receive, size_t count, ncclDataType_t type,
                           ncclComm_t comm, cudaStream_t stream) {
  return post_collective("ncclAllGather", {Collective::all_gather, count, type, ncclSum, 0}, send, receive,
                         comm, stream);
}
ncclResult_t ncclBroadcast(const void* send, void* receive, size_t count, ncclDataType_t type, int root,
                           ncclComm_t comm, cudaStream_t stream) {
  return post_collective("ncclBroadcast", {Collective::broadcast, count, type, ncclSum, root}, send, receive,
                         comm, stream);
}
ncclResult_t ncclReduce(const void* send, void* receive, size_t count, ncclDataType_t type,
                        ncclRedOp_t operation, int root, ncclComm_t comm, cudaStream_t stream) {
  return post_collective("ncclReduce", {Collective::reduce, count, type, operation, root}, send, receive,
                         comm, stream);
}
ncclResult_t ncclSend(const void* buffer, size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                      cudaStream_t stream) {
  return post_transfer("ncclSend", true, const_cast<void*>(buffer), count, type, peer, comm, stream);
}
ncclResult_t ncclRecv(void* buffer, size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                      cudaStream_t stream) {
  return post_transfer("ncclRecv", false, buffer, count, type, peer, comm, stream);
}
ncclResult_t ncclGroupStart() {
  group_depth++;
  return ncclSuccess;
}
ncclResult_t ncclGroupEnd() {
  if (group_depth == 0) return refuse_call("ncclGroupEnd", "no group was started", ncclInvalidUsage);
  if (--group_depth == 0) flush();
  return ncclSuccess;
}

}  // extern "C"
