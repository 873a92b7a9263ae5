// All collectives go into one stream of their own, those of communicators split from another too, so that
// they run in the same order everywhere; events tie it to cuda::stream(). The communicator never blocks the
// host but to be split: a rank that waits in vain is its watchdog's business.
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

/// What a communicator has in common with those split from it.
struct Family {
  struct Mark {
    int64_t collectives;  // enqueued before
    cudaEvent_t event;
  };

  Family();
  ~Family();
  Family(const Family&) = delete;
  void mark();
  void collect_marks();

  int device = 0;
  cudaStream_t side = nullptr;
  cudaEvent_t here = nullptr;  // ties the streams
  bool broken = false;         // what is enqueued may never end

  std::timed_mutex in_use;  // the communicators: abort() frees them
  std::atomic<bool> aborted = false;
  std::mutex mutex;  // of what follows
  std::vector<ncclComm_t> members;
  CollectiveProgress progress;
  std::deque<Mark> marks;
  std::vector<cudaEvent_t> spare;
};

Family::Family() {
  CUDA_CHECK(cudaGetDevice(&device));
  int lowest = 0, highest = 0;
  CUDA_CHECK(cudaDeviceGetStreamPriorityRange(&lowest, &highest));
  CUDA_CHECK(cudaStreamCreateWithPriority(&side, cudaStreamNonBlocking, highest));
  CUDA_CHECK(cudaEventCreateWithFlags(&here, cudaEventDisableTiming));
}

Family::~Family() {
  if (aborted || broken) return;
  for (const Mark& m : marks) cudaEventDestroy(m.event);
  for (const cudaEvent_t event : spare) cudaEventDestroy(event);
  cudaEventDestroy(here);
  cudaStreamDestroy(side);
}

/// Notes in the side stream that everything enqueued so far is done.
void Family::mark() {
  const std::lock_guard lock(mutex);
  collect_marks();
  Mark mark{progress.begun, nullptr};
  if (spare.empty()) {
    CUDA_CHECK(cudaEventCreateWithFlags(&mark.event, cudaEventDisableTiming));
  } else {
    mark.event = spare.back();
    spare.pop_back();
  }
  CUDA_CHECK(cudaEventRecord(mark.event, side));
  marks.push_back(mark);
}

void Family::collect_marks() {
  for (; !marks.empty() && cudaEventQuery(marks.front().event) == cudaSuccess; marks.pop_front()) {
    progress.finished = marks.front().collectives;
    spare.push_back(marks.front().event);
  }
}

class Nccl : public Communicator {
 public:
  explicit Nccl(Store& store);
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

  std::unique_ptr<Communicator> split(int colour) override;

  void group(const std::function<void()>& calls) override;
  void begin() override { beside_ = true; }
  void finish() override;

  CollectiveProgress progress() override;
  std::string failure() override;
  void abort() override;

 private:
  Nccl(std::shared_ptr<Family> family, ncclComm_t comm, int rank, int size);
  void start(Store& store);
  void count(const std::string& collective);
  void enqueue(const char* name, const Tensor& x, const Tensor& other,
               const std::function<ncclResult_t()>& call);
  void post(const Tensor& x, const Tensor& other, const std::function<ncclResult_t()>& call);
  void check(ncclResult_t result);
  ncclResult_t wait_while_in_progress(ncclComm_t comm, ncclResult_t result);

  const std::shared_ptr<Family> family_;
  const cudaStream_t side_;
  const int rank_, size_;
  ncclComm_t comm_ = nullptr;
  int depth_ = 0;  // of groups
  bool beside_ = false;
  std::vector<Tensor> held_;  // in use beside the stream: their memory must not be handed out
};

Nccl::Nccl(Store& store)
    : family_(std::make_shared<Family>()), side_(family_->side), rank_(store.rank()), size_(store.size()) {
  check_devices(store);
  start(store);
  family_->members.push_back(comm_);
}

Nccl::Nccl(std::shared_ptr<Family> family, ncclComm_t comm, int rank, int size)
    : family_(std::move(family)), side_(family_->side), rank_(rank), size_(size), comm_(comm) {
  const std::lock_guard lock(family_->mutex);
  family_->members.push_back(comm);
}

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
  if (family_->aborted) return;
  if (std::uncaught_exceptions() > 0 || !failure().empty()) family_->broken = true;
  {
    const std::lock_guard lock(family_->mutex);
    std::erase(family_->members, comm_);
  }
  if (family_->broken) {
    ncclCommAbort(comm_);
    return;
  }
  wait_while_in_progress(comm_, ncclCommFinalize(comm_));
  ncclCommDestroy(comm_);
}

ncclResult_t Nccl::wait_while_in_progress(ncclComm_t comm, ncclResult_t result) {
  while (result == ncclInProgress) {
    std::this_thread::sleep_for(kLook);
    const std::lock_guard lock(family_->in_use);
    if (family_->aborted) return ncclInternalError;
    ncclCommGetAsyncError(comm, &result);
  }
  return result;
}

/// A child's handle comes some time after its parent is ready again (NVIDIA/nccl#1472).
std::unique_ptr<Communicator> Nccl::split(int colour) {
  CUDA_CHECK(cudaStreamSynchronize(side_));  // NCCL may hang beside collectives
  count("split");
  ncclComm_t child = nullptr;
  check(wait_while_in_progress(comm_, [&] {
    const std::lock_guard lock(family_->in_use);
    return family_->aborted ? ncclInternalError : ncclCommSplit(comm_, colour, rank_, &child, nullptr);
  }()));
  while (!__atomic_load_n(&child, __ATOMIC_ACQUIRE)) std::this_thread::sleep_for(kLook);
  check(wait_while_in_progress(child, ncclInProgress));
  int rank = 0, size = 0;
  check(ncclCommUserRank(child, &rank));
  check(ncclCommCount(child, &size));
  return std::unique_ptr<Communicator>(new Nccl(family_, child, rank, size));
}

void Nccl::check(ncclResult_t result) {
  if (result == ncclSuccess) return;
  fail("nccl: rank ", rank_, ", ", family_->progress.last, ": ", ncclGetErrorString(result), ", ",
       family_->aborted ? "aborted" : ncclGetLastError(comm_));
}

void Nccl::group(const std::function<void()>& calls) {
  if (depth_++ == 0) {
    CUDA_CHECK(cudaEventRecord(family_->here, stream()));
    CUDA_CHECK(cudaStreamWaitEvent(side_, family_->here, 0));
    check(ncclGroupStart());
  }
  calls();
  if (--depth_ > 0) return;
  check(wait_while_in_progress(comm_, [&] {
    const std::lock_guard lock(family_->in_use);
    return family_->aborted ? ncclInternalError : ncclGroupEnd();
  }()));
  family_->mark();
  if (beside_) return;
  CUDA_CHECK(cudaEventRecord(family_->here, side_));
  CUDA_CHECK(cudaStreamWaitEvent(stream(), family_->here, 0));
}

void Nccl::finish() {
  beside_ = false;
  CUDA_CHECK(cudaEventRecord(family_->here, side_));
  CUDA_CHECK(cudaStreamWaitEvent(stream(), family_->here, 0));
  held_.clear();  // whoever gets their memory works behind the event
}

void Nccl::enqueue(const char* name, const Tensor& x, const Tensor& other,
                   const std::function<ncclResult_t()>& call) {
  check_device(x);
  check_device(other);
  if (x.numel() == 0) return;
  count(concat(name, " of ", x.dtype(), " ", x.shape()));
  post(x, other, call);
}

void Nccl::count(const std::string& collective) {
  const std::lock_guard lock(family_->mutex);
  ++family_->progress.begun;
  family_->progress.last = collective;
}

void Nccl::post(const Tensor& x, const Tensor& other, const std::function<ncclResult_t()>& call) {
  if (beside_) held_.insert(held_.end(), {x, other});
  group([&] {
    const std::lock_guard lock(family_->in_use);
    const ncclResult_t result = family_->aborted ? ncclInternalError : call();
    check(result == ncclInProgress ? ncclSuccess : result);  // the end of the group waits for it
  });
}

void Nccl::all_to_all(const Tensor& received, std::span<const int64_t> rows_from, const Tensor& sent,
                      std::span<const int64_t> rows_to) {
  check_rows(received, rows_from, sent, rows_to, size_);
  check_device(received);
  check_device(sent);
  count(concat("all_to_all of ", sent.dtype(), " ", sent.shape()));
  int64_t from = 0, to = 0;
  group([&] {
    for (int rank = 0; rank < size_; ++rank) {
      const Tensor out = sent.rows(to, rows_to[size_t(rank)]),
                   in = received.rows(from, rows_from[size_t(rank)]);
      if (out.numel() > 0)
        post(out, sent,
             [&] { return ncclSend(out.raw(), size_t(out.numel()), type_of(out), rank, comm_, side_); });
      if (in.numel() > 0)
        post(in, received,
             [&] { return ncclRecv(in.raw(), size_t(in.numel()), type_of(in), rank, comm_, side_); });
      to += out.dim(0);
      from += in.dim(0);
    }
  });
}

CollectiveProgress Nccl::progress() {
  cudaSetDevice(family_->device);  // another thread's: it would start the first device
  const std::lock_guard lock(family_->mutex);
  family_->collect_marks();
  return family_->progress;
}

/// Of all the family: one watchdog sees to it.
std::string Nccl::failure() {
  const std::lock_guard lock(family_->mutex);
  if (family_->aborted) return "";
  for (const ncclComm_t comm : family_->members) {
    ncclResult_t state = ncclSuccess;
    if (ncclCommGetAsyncError(comm, &state) != ncclSuccess ||
        (state != ncclSuccess && state != ncclInProgress))
      return concat("nccl: ", ncclGetErrorString(state), ", ", ncclGetLastError(comm));
  }
  return "";
}

void Nccl::abort() {
  const std::unique_lock lock(family_->in_use, std::chrono::seconds(1));
  if (family_->aborted.exchange(true)) return;
  for (const ncclComm_t comm : family_->members) ncclCommAbort(comm);
}

}  // namespace

std::unique_ptr<Communicator> make_nccl_communicator(Store& store) { return std::make_unique<Nccl>(store); }

}  // namespace rmoe::cuda
