// All collectives go into one stream of their own, so that they run in the same order everywhere; events tie
// it to cuda::stream(). The communicator never blocks the host: a rank that waits in vain is its watchdog's
// business.
#include "engine/cuda/nccl.hpp"

#include "engine/cuda/check.hpp"
#include "engine/cuda/context.hpp"
#include "engine/error.hpp"

#include <atomic>
#include <chrono>
#include <cstring>
#include <deque>
#include <mutex>
#include <nccl.h>
#include <thread>

namespace rmoe::cuda {
namespace {

constexpr auto kLook = std::chrono::microseconds(50);

ncclDataType_t type_of(const Tensor& x) {
  switch (x.dtype()) {
    case DType::f32:
      return ncclFloat32;
    case DType::f64:
      return ncclFloat64;
    case DType::i32:
      return ncclInt32;
    case DType::bf16:
      return ncclBfloat16;
  }
  fail("nccl: no type for ", x.dtype());
}

ncclRedOp_t operation_of(Reduction reduction) { return reduction == Reduction::max ? ncclMax : ncclSum; }

void check_device(const Tensor& x) {
  RMOE_CHECK(x.device() == Device::cuda, "nccl: a tensor on ", x.device(), ", wanted one on cuda");
}

/// NCCL would wait forever for two ranks that share a device.
void check_devices(Store& store) {
  int device = 0;
  cudaDeviceProp properties;
  CUDA_CHECK(cudaGetDevice(&device));
  CUDA_CHECK(cudaGetDeviceProperties(&properties, device));
  const auto all = store.all_gather("devices", {properties.uuid.bytes, sizeof properties.uuid.bytes});
  for (int rank = 0; rank < store.size(); ++rank)
    for (int other = 0; other < rank; ++other)
      RMOE_CHECK(all[size_t(rank)] != all[size_t(other)], "nccl: ranks ", other, " and ", rank,
                 " both use the same device; see CUDA_VISIBLE_DEVICES and the launcher's GPUs per task");
}

ncclUniqueId share_id(Store& store) {
  ncclUniqueId id{};
  if (store.rank() == 0) RMOE_CHECK(ncclGetUniqueId(&id) == ncclSuccess, "nccl: ", ncclGetLastError(nullptr));
  const std::string bytes = store.broadcast("NCCL's id", {id.internal, sizeof id.internal});
  std::memcpy(id.internal, bytes.data(), sizeof id.internal);
  return id;
}

class Nccl : public Communicator {
 public:
  explicit Nccl(Store& store) : rank_(store.rank()), size_(store.size()) {
    check_devices(store);
    CUDA_CHECK(cudaGetDevice(&device_));
    int lowest = 0, highest = 0;
    CUDA_CHECK(cudaDeviceGetStreamPriorityRange(&lowest, &highest));
    CUDA_CHECK(cudaStreamCreateWithPriority(&side_, cudaStreamNonBlocking, highest));
    CUDA_CHECK(cudaEventCreateWithFlags(&here_, cudaEventDisableTiming));
    start(store);
  }
  ~Nccl() override;

  int rank() const override { return rank_; }
  int size() const override { return size_; }

  void all_reduce(const Tensor& x, Reduction reduction) override {
    enqueue("all_reduce", x, x, [&] {
      return ncclAllReduce(x.raw(), x.raw(), size_t(x.numel()), type_of(x), operation_of(reduction), comm_,
                           side_);
    });
  }
  void reduce(const Tensor& x, int root) override {
    enqueue("reduce", x, x, [&] {
      return ncclReduce(x.raw(), x.raw(), size_t(x.numel()), type_of(x), ncclSum, root, comm_, side_);
    });
  }
  void broadcast(const Tensor& x, int root) override {
    enqueue("broadcast", x, x, [&] {
      return ncclBroadcast(x.raw(), x.raw(), size_t(x.numel()), type_of(x), root, comm_, side_);
    });
  }
  void reduce_scatter(const Tensor& piece, const Tensor& all) override {
    check_pieces("reduce_scatter", piece, all, size_);
    enqueue("reduce_scatter", all, piece, [&] {
      return ncclReduceScatter(all.raw(), piece.raw(), size_t(piece.numel()), type_of(piece), ncclSum, comm_,
                               side_);
    });
  }
  void all_gather(const Tensor& all, const Tensor& piece) override {
    check_pieces("all_gather", piece, all, size_);
    enqueue("all_gather", all, piece, [&] {
      return ncclAllGather(piece.raw(), all.raw(), size_t(piece.numel()), type_of(piece), comm_, side_);
    });
  }
  void all_to_all(const Tensor& received, std::span<const int64_t> rows_from, const Tensor& sent,
                  std::span<const int64_t> rows_to) override;

  void group(const std::function<void()>& calls) override;
  void begin() override { beside_ = true; }
  void finish() override;

  CollectiveProgress progress() override;
  std::string failure() override;
  void abort() override;

 private:
  struct Mark {
    int64_t collectives;  // enqueued before
    cudaEvent_t event;
  };

  void start(Store& store);
  void enqueue(const char* name, const Tensor& x, const Tensor& other,
               const std::function<ncclResult_t()>& call);
  void check(ncclResult_t result);
  ncclResult_t wait_while_in_progress(ncclResult_t result);
  void mark();
  void collect_marks();

  const int rank_, size_;
  int device_ = 0;
  ncclComm_t comm_ = nullptr;
  cudaStream_t side_ = nullptr;
  cudaEvent_t here_ = nullptr;  // ties the streams
  int depth_ = 0;               // of groups
  bool beside_ = false;
  std::vector<Tensor> held_;  // in use beside the stream: their memory must not be handed out

  std::timed_mutex in_use_;  // the communicator: abort() frees it
  std::atomic<bool> aborted_ = false;
  std::mutex mutex_;  // of what follows
  CollectiveProgress progress_;
  std::deque<Mark> marks_;
  std::vector<cudaEvent_t> spare_;
};

void Nccl::start(Store& store) {
  const ncclUniqueId id = share_id(store);
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;
  ncclResult_t state = ncclCommInitRankConfig(&comm_, size_, id, rank_, &config);
  while (state == ncclInProgress && comm_) {
    ncclCommGetAsyncError(comm_, &state);
    std::this_thread::sleep_for(kLook);
    if (const std::string why = store.why_aborted(); !why.empty()) fail("nccl: no start: ", why);
  }
  RMOE_CHECK(state == ncclSuccess, "nccl: rank ", rank_, " of ", size_,
             " does not start: ", ncclGetErrorString(state), ", ", ncclGetLastError(comm_));
}

/// After an accident, what is enqueued may never end.
Nccl::~Nccl() {
  if (aborted_) return;
  if (std::uncaught_exceptions() > 0 || !failure().empty()) {
    ncclCommAbort(comm_);
    return;
  }
  wait_while_in_progress(ncclCommFinalize(comm_));
  ncclCommDestroy(comm_);
  for (const Mark& m : marks_) cudaEventDestroy(m.event);
  for (const cudaEvent_t event : spare_) cudaEventDestroy(event);
  cudaEventDestroy(here_);
  cudaStreamDestroy(side_);
}

ncclResult_t Nccl::wait_while_in_progress(ncclResult_t result) {
  while (result == ncclInProgress) {
    std::this_thread::sleep_for(kLook);
    const std::lock_guard lock(in_use_);
    if (aborted_) return ncclInternalError;
    ncclCommGetAsyncError(comm_, &result);
  }
  return result;
}

void Nccl::check(ncclResult_t result) {
  if (result == ncclSuccess) return;
  fail("nccl: rank ", rank_, ", ", progress_.last, ": ", ncclGetErrorString(result), ", ",
       aborted_ ? "aborted" : ncclGetLastError(comm_));
}

void Nccl::group(const std::function<void()>& calls) {
  if (depth_++ == 0) {
    CUDA_CHECK(cudaEventRecord(here_, stream()));
    CUDA_CHECK(cudaStreamWaitEvent(side_, here_, 0));
    check(ncclGroupStart());
  }
  calls();
  if (--depth_ > 0) return;
  check(wait_while_in_progress([&] {
    const std::lock_guard lock(in_use_);
    return aborted_ ? ncclInternalError : ncclGroupEnd();
  }()));
  mark();
  if (beside_) return;
  CUDA_CHECK(cudaEventRecord(here_, side_));
  CUDA_CHECK(cudaStreamWaitEvent(stream(), here_, 0));
}

void Nccl::finish() {
  beside_ = false;
  CUDA_CHECK(cudaEventRecord(here_, side_));
  CUDA_CHECK(cudaStreamWaitEvent(stream(), here_, 0));
  held_.clear();  // whoever gets their memory works behind the event
}

void Nccl::enqueue(const char* name, const Tensor& x, const Tensor& other,
                   const std::function<ncclResult_t()>& call) {
  check_device(x);
  check_device(other);
  if (x.numel() == 0) return;
  {
    const std::lock_guard lock(mutex_);
    ++progress_.begun;
    progress_.last = concat(name, " of ", x.dtype(), " ", x.shape());
  }
  if (beside_) held_.insert(held_.end(), {x, other});
  group([&] {
    const std::lock_guard lock(in_use_);
    const ncclResult_t result = aborted_ ? ncclInternalError : call();
    check(result == ncclInProgress ? ncclSuccess : result);  // the end of the group waits for it
  });
}

void Nccl::all_to_all(const Tensor& received, std::span<const int64_t> rows_from, const Tensor& sent,
                      std::span<const int64_t> rows_to) {
  check_rows(received, rows_from, sent, rows_to, size_);
  check_device(received);
  check_device(sent);
  int64_t from = 0, to = 0;
  group([&] {
    for (int rank = 0; rank < size_; ++rank) {
      const Tensor out = sent.rows(to, rows_to[size_t(rank)]),
                   in = received.rows(from, rows_from[size_t(rank)]);
      enqueue("send", out, sent,
              [&] { return ncclSend(out.raw(), size_t(out.numel()), type_of(out), rank, comm_, side_); });
      enqueue("receive", in, received,
              [&] { return ncclRecv(in.raw(), size_t(in.numel()), type_of(in), rank, comm_, side_); });
      to += out.dim(0);
      from += in.dim(0);
    }
  });
}

/// Notes in the side stream that everything enqueued so far is done.
void Nccl::mark() {
  const std::lock_guard lock(mutex_);
  collect_marks();
  Mark mark{progress_.begun, nullptr};
  if (spare_.empty()) {
    CUDA_CHECK(cudaEventCreateWithFlags(&mark.event, cudaEventDisableTiming));
  } else {
    mark.event = spare_.back();
    spare_.pop_back();
  }
  CUDA_CHECK(cudaEventRecord(mark.event, side_));
  marks_.push_back(mark);
}

void Nccl::collect_marks() {
  for (; !marks_.empty() && cudaEventQuery(marks_.front().event) == cudaSuccess; marks_.pop_front()) {
    progress_.finished = marks_.front().collectives;
    spare_.push_back(marks_.front().event);
  }
}

CollectiveProgress Nccl::progress() {
  cudaSetDevice(device_);  // another thread's: it would start the first device
  const std::lock_guard lock(mutex_);
  collect_marks();
  return progress_;
}

std::string Nccl::failure() {
  ncclResult_t state = ncclSuccess;
  if (aborted_ || (ncclCommGetAsyncError(comm_, &state) == ncclSuccess &&
                   (state == ncclSuccess || state == ncclInProgress)))
    return "";
  return concat("nccl: ", ncclGetErrorString(state), ", ", ncclGetLastError(comm_));
}

void Nccl::abort() {
  const std::unique_lock lock(in_use_, std::chrono::seconds(1));
  if (!aborted_.exchange(true)) ncclCommAbort(comm_);
}

}  // namespace

std::unique_ptr<Communicator> make_nccl_communicator(Store& store) { return std::make_unique<Nccl>(store); }

}  // namespace rmoe::cuda
