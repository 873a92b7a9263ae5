// NCCL with ranks as threads and as processes, and the mistakes that make the real one hang.
#include "engine/cuda_emulator/tests/device.hpp"

#include <csignal>
#include <cstdlib>
#include <cstring>
#include <cuda_bf16.h>
#include <doctest/doctest.h>
#include <nccl.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

namespace rmoe::cuda::test {
namespace {

using bf16 = __nv_bfloat16;
constexpr size_t kCount = 100003;  // more than one piece, and odd

struct Rank {
  int rank, count;
  ncclComm_t comm = nullptr;
  cudaStream_t stream = nullptr;

  Rank(int rank_, int count_, const ncclUniqueId& id, int device) : rank(rank_), count(count_) {
    CUDA_CHECK(cudaSetDevice(device));
    CUDA_CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    start = ncclCommInitRank(&comm, count, id, rank);
  }
  ~Rank() {
    if (comm) ncclCommDestroy(comm);
    cudaStreamDestroy(stream);
  }
  ncclResult_t start;

  /// What went wrong in the background, "" if nothing did.
  std::string failure() {
    cudaStreamSynchronize(stream);
    ncclResult_t state;
    ncclCommGetAsyncError(comm, &state);
    return state == ncclSuccess ? "" : ncclGetLastError(comm);
  }
};

std::vector<float> ramp(size_t n, int factor) {
  std::vector<float> values(n);
  for (size_t i = 0; i < n; i++) values[i] = static_cast<float>(i % 97) * static_cast<float>(factor);
  return values;
}

template <class T, class Want>
int differences(const Array<T>& got, Want want) {
  int wrong = 0;
  const auto values = got.values();
  for (size_t i = 0; i < values.size(); i++) wrong += static_cast<float>(values[i]) != want(i);
  return wrong;
}

/// Every collective once; the number of wrong results.
int collectives(Rank& r) {
  const size_t n = static_cast<size_t>(r.count);
  const float sum = static_cast<float>(r.count * (r.count + 1) / 2);
  const auto at = [](size_t i) { return static_cast<float>(i % 97); };
  Array<float> x(ramp(kCount * n, r.rank + 1)), y(kCount), all(kCount * n);
  int wrong = 0;
  ncclAllReduce(x, y, kCount, ncclFloat, ncclSum, r.comm, r.stream);
  cudaStreamSynchronize(r.stream);
  wrong += differences(y, [&](size_t i) { return at(i) * sum; });
  ncclReduceScatter(x, y, kCount, ncclFloat, ncclSum, r.comm, r.stream);
  cudaStreamSynchronize(r.stream);
  wrong += differences(y, [&](size_t i) { return at(i + static_cast<size_t>(r.rank) * kCount) * sum; });
  ncclAllGather(x, all, kCount, ncclFloat, r.comm, r.stream);
  cudaStreamSynchronize(r.stream);
  wrong += differences(all, [&](size_t i) { return at(i % kCount) * static_cast<float>(i / kCount + 1); });
  ncclBroadcast(x, y, kCount, ncclFloat, r.count - 1, r.comm, r.stream);
  cudaStreamSynchronize(r.stream);
  wrong += differences(y, [&](size_t i) { return at(i) * static_cast<float>(r.count); });
  ncclGroupStart();
  for (int peer = 0; peer < r.count; peer++) {
    ncclSend(x + static_cast<size_t>(peer) * kCount, kCount, ncclFloat, peer, r.comm, r.stream);
    ncclRecv(all + static_cast<size_t>(peer) * kCount, kCount, ncclFloat, peer, r.comm, r.stream);
  }
  ncclGroupEnd();
  cudaStreamSynchronize(r.stream);
  const size_t mine = static_cast<size_t>(r.rank) * kCount;
  wrong +=
      differences(all, [&](size_t i) { return at(mine + i % kCount) * static_cast<float>(i / kCount + 1); });
  Array<bf16> h(1000, __float2bfloat16(0.5f + static_cast<float>(r.rank)));
  ncclAllReduce(h, h, 1000, ncclBfloat16, ncclAvg, r.comm, r.stream);
  cudaStreamSynchronize(r.stream);
  return wrong + differences(h, [&](size_t) { return 0.5f + static_cast<float>(r.count - 1) / 2.0f; });
}

/// Runs `body` for every rank in a thread of its own.
void in_threads(int count, const std::function<void(int, const ncclUniqueId&)>& body) {
  const KeepOptions keep;
  emulator::options().devices = count;
  ncclUniqueId id;
  REQUIRE(ncclGetUniqueId(&id) == ncclSuccess);
  std::vector<std::thread> threads;
  for (int rank = 0; rank < count; rank++) threads.emplace_back([&, rank] { body(rank, id); });
  for (std::thread& thread : threads) thread.join();
}

constexpr char kRankVariable[] = "RMOE_TEST_RANK", kIdVariable[] = "RMOE_TEST_RANKS_ID",
               kModeVariable[] = "RMOE_TEST_MODE";

/// This program again, as one rank: see the last test.
pid_t start_process(int rank, const ncclUniqueId& id, const char* mode) {
  const pid_t child = fork();
  if (child != 0) return child;
  setenv(kRankVariable, std::to_string(rank).c_str(), 1);
  setenv(kIdVariable, id.internal, 1);
  setenv(kModeVariable, mode, 1);
  setenv("RMOE_EMULATOR_DEVICES", "4", 1);
  execl("/proc/self/exe", "tests", "--test-case=one rank of several processes", "--no-version", nullptr);
  _exit(127);
}

}  // namespace

TEST_CASE("collectives of ranks as threads") {
  int wrong[4] = {};
  in_threads(4, [&](int rank, const ncclUniqueId& id) {
    Rank r(rank, 4, id, rank);
    wrong[rank] = r.start == ncclSuccess ? collectives(r) : -1;
  });
  for (int count : wrong) CHECK(count == 0);
}

TEST_CASE("mismatched collectives are named") {
  std::string failure[2];
  in_threads(2, [&](int rank, const ncclUniqueId& id) {
    Rank r(rank, 2, id, rank);
    Array<float> x(20, 1.0f), y(20);
    ncclAllReduce(x, y, rank == 0 ? 20 : 10, ncclFloat, ncclSum, r.comm, r.stream);
    failure[rank] = r.failure();
  });
  CHECK(has(failure[0], "mismatched collectives: rank 0 calls AllReduce(count 20"));
  CHECK(has(failure[0], "rank 1 calls AllReduce(count 10"));
  CHECK(failure[1] != "");
}

TEST_CASE("a rank that does not come is named after the timeout") {
  std::string failure;
  in_threads(2, [&](int rank, const ncclUniqueId& id) {
    Rank r(rank, 2, id, rank);
    Array<float> x(20, 1.0f), y(20);
    if (rank == 0) {
      emulator::options().collective_timeout_s = 0.5;
      ncclAllReduce(x, y, 20, ncclFloat, ncclSum, r.comm, r.stream);
      failure = r.failure();
    }
  });
  CHECK(has(failure, "rank 0 waited"));
  CHECK(has(failure, "missing: rank 1"));
}

TEST_CASE("a send without its receive ends with the timeout") {
  std::string failure;
  in_threads(2, [&](int rank, const ncclUniqueId& id) {
    Rank r(rank, 2, id, rank);
    Array<float> x(kCount, 1.0f);
    if (rank == 0) {
      emulator::options().collective_timeout_s = 0.5;
      ncclSend(x, kCount, ncclFloat, 1, r.comm, r.stream);
      failure = r.failure();
    }
  });
  CHECK(has(failure, "send/recv to 1 400012 bytes"));
}

TEST_CASE("abort from another thread ends a collective that waits") {
  std::string error;
  in_threads(2, [&](int rank, const ncclUniqueId& id) {
    Rank r(rank, 2, id, rank);
    if (rank == 1) return;
    emulator::options().collective_timeout_s = 60;
    Array<float> x(20, 1.0f), y(20);
    ncclAllReduce(x, y, 20, ncclFloat, ncclSum, r.comm, r.stream);
    std::thread watchdog([comm = r.comm] {
      usleep(100000);
      ncclCommAbort(comm);
    });
    CHECK(cudaStreamSynchronize(r.stream) == cudaSuccess);
    watchdog.join();
    r.comm = nullptr;
  });
}

TEST_CASE("two ranks on one device are refused") {
  ncclResult_t start[2];
  in_threads(2, [&](int rank, const ncclUniqueId& id) { start[rank] = Rank(rank, 2, id, 0).start; });
  CHECK(start[0] == ncclInvalidUsage);
  CHECK(start[1] == ncclInvalidUsage);
}

TEST_CASE("a communicator that does not block is in progress until all ranks are there") {
  ncclResult_t first = ncclSuccess, early = ncclSuccess, last = ncclInProgress;
  in_threads(2, [&](int rank, const ncclUniqueId& id) {
    CUDA_CHECK(cudaSetDevice(rank));
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    ncclComm_t comm;
    if (rank == 1) usleep(100000);
    const ncclResult_t started = ncclCommInitRankConfig(&comm, 2, id, rank, &config);
    if (rank == 0) {
      first = started;
      Array<float> x(4, 1.0f);
      early = ncclAllReduce(x, x, 4, ncclFloat, ncclSum, comm, nullptr);
    }
    ncclResult_t state = ncclInProgress;
    while (state == ncclInProgress) ncclCommGetAsyncError(comm, &state);
    if (rank == 0) last = state;
    ncclCommDestroy(comm);
  });
  CHECK(first == ncclInProgress);
  CHECK(early == ncclInvalidUsage);
  CHECK(last == ncclSuccess);
}

TEST_CASE("a communicator is split by colour, in the order of keys; children outlive it") {
  int child_rank[4] = {}, child_count[4] = {};
  float sum[4] = {};
  in_threads(4, [&](int rank, const ncclUniqueId& id) {
    Rank r(rank, 4, id, rank);
    ncclComm_t child = nullptr;
    CHECK(ncclCommSplit(r.comm, rank == 3 ? NCCL_SPLIT_NOCOLOR : 7, -rank, &child, nullptr) == ncclSuccess);
    CHECK((child == nullptr) == (rank == 3));
    if (!child) return;
    std::swap(r.comm, child);
    ncclCommDestroy(child);
    ncclCommUserRank(r.comm, &child_rank[rank]);
    ncclCommCount(r.comm, &child_count[rank]);
    Array<float> x(5, static_cast<float>(rank + 1));
    ncclBroadcast(x, x, 5, ncclFloat, 0, r.comm, r.stream);
    ncclAllReduce(x, x, 5, ncclFloat, ncclSum, r.comm, r.stream);
    CHECK(r.failure() == "");
    sum[rank] = x.values()[0];
  });
  for (int rank = 0; rank < 3; rank++) {
    CHECK(child_rank[rank] == 2 - rank);
    CHECK(child_count[rank] == 3);
    CHECK(sum[rank] == 9);  // the first of them is the parent's last
  }
}

TEST_CASE("a child of a communicator that does not block comes behind its parent, and is ready later") {
  in_threads(2, [&](int rank, const ncclUniqueId& id) {
    CUDA_CHECK(cudaSetDevice(rank));
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    ncclComm_t comm, child;
    ncclCommInitRankConfig(&comm, 2, id, rank, &config);
    const auto wait = [](ncclComm_t c) {
      ncclResult_t state = ncclInProgress;
      while (state == ncclInProgress) ncclCommGetAsyncError(c, &state);
      return state;
    };
    CHECK(wait(comm) == ncclSuccess);
    if (rank == 1) usleep(100000);
    CHECK(ncclCommSplit(comm, rank, 0, &child, nullptr) == ncclInProgress);
    if (rank == 0) {
      CHECK(child == nullptr);
      CHECK(ncclCommSplit(comm, 0, 0, &child, nullptr) == ncclInvalidUsage);
    }
    CHECK(wait(comm) == ncclSuccess);
    while (!__atomic_load_n(&child, __ATOMIC_ACQUIRE)) usleep(100);
    CHECK(wait(child) == ncclSuccess);
    ncclCommDestroy(child);
    ncclCommDestroy(comm);
  });
}

TEST_CASE("splits that may hang are refused, and so are handles that are gone") {
  std::string failure[2];
  in_threads(2, [&](int rank, const ncclUniqueId& id) {
    Rank r(rank, 2, id, rank);
    Array<float> x(20, 1.0f);
    ncclComm_t child;
    CHECK(ncclCommSplit(r.comm, -2, 0, &child, nullptr) == ncclInvalidArgument);
    ncclAllReduce(x, x, 20, ncclFloat, ncclSum, r.comm, r.stream);
    CHECK(ncclCommSplit(r.comm, 0, 0, &child, nullptr) == ncclInvalidUsage);
    CHECK(has(emulator::last_message(), "under way"));
    CHECK(r.failure() == "");
    if (rank == 0)
      CHECK(ncclCommSplit(r.comm, 0, 0, &child, nullptr) == ncclInvalidUsage);
    else
      ncclAllReduce(x, x, 20, ncclFloat, ncclSum, r.comm, r.stream);
    failure[rank] = r.failure();
    ncclCommAbort(r.comm);
    CHECK(ncclCommSplit(r.comm, 0, 0, &child, nullptr) == ncclInvalidArgument);
    CHECK(ncclAllReduce(x, x, 20, ncclFloat, ncclSum, r.comm, r.stream) == ncclInvalidArgument);
    CHECK(has(emulator::last_message(), "or aborted"));
    r.comm = nullptr;
  });
  CHECK(has(failure[0], "mismatched collectives: rank 0 calls CommSplit"));
  CHECK(has(failure[1], "rank 0 calls CommSplit"));
}

TEST_CASE("buffers of collectives lie on the device") {
  in_threads(1, [](int rank, const ncclUniqueId& id) {
    Rank r(rank, 1, id, 0);
    Array<float> x(20, 1.0f);
    std::vector<float> host(20);
    CHECK(ncclAllReduce(host.data(), x, 20, ncclFloat, ncclSum, r.comm, r.stream) == ncclInvalidArgument);
    CHECK(has(emulator::last_message(), "a host pointer"));
    CHECK(ncclAllReduce(x, x, 21, ncclFloat, ncclSum, r.comm, r.stream) == ncclInvalidArgument);
  });
}

TEST_CASE("collectives of ranks as processes") {
  ncclUniqueId id;
  ncclGetUniqueId(&id);
  std::vector<pid_t> processes;
  for (int rank = 0; rank < 4; rank++) processes.push_back(start_process(rank, id, "run"));
  for (pid_t process : processes) {
    int status = 0;
    waitpid(process, &status, 0);
    CHECK(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 0);
  }
}

TEST_CASE("a rank that dies is named by the others") {
  ncclUniqueId id;
  ncclGetUniqueId(&id);
  std::vector<pid_t> processes;
  for (int rank = 0; rank < 3; rank++) processes.push_back(start_process(rank, id, "die"));
  int status[3] = {};
  for (int rank = 0; rank < 3; rank++) waitpid(processes[rank], &status[rank], 0);
  CHECK(WIFSIGNALED(status[1]));
  for (int rank : {0, 2}) CHECK((WIFEXITED(status[rank]) && WEXITSTATUS(status[rank]) == 0));
}

TEST_CASE("one rank of several processes") {
  const char* rank_text = std::getenv(kRankVariable);
  if (!rank_text) return;  // started by the two tests above only
  const int rank = std::atoi(rank_text);
  const bool dies = std::strcmp(std::getenv(kModeVariable), "die") == 0;
  ncclUniqueId id;
  std::memcpy(id.internal, std::getenv(kIdVariable), std::strlen(std::getenv(kIdVariable)) + 1);
  Rank r(rank, dies ? 3 : 4, id, rank);
  REQUIRE(r.start == ncclSuccess);
  CHECK(collectives(r) == 0);
  if (!dies) return;
  if (rank == 1) std::raise(SIGKILL);
  emulator::options().collective_timeout_s = 1.0;
  Array<float> x(20, 1.0f);
  ncclAllReduce(x, x, 20, ncclFloat, ncclSum, r.comm, r.stream);
  const std::string failure = r.failure();
  CAPTURE(failure);
  CHECK(has(failure, "missing: rank 1 (process "));
  CHECK(has(failure, "has died) after 6 collectives"));
}

}  // namespace rmoe::cuda::test
