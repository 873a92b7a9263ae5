// Several processes with a device each: collectives, buckets, and what happens when one of them dies, hangs
// or differs. Every test starts this program once more as the ranks; they run the last case of this file.
#include "engine/comm/gradient_buckets.hpp"
#include "engine/comm/test_ranks.hpp"
#include "engine/comm/watchdog.hpp"
#include "engine/cuda/backend.hpp"
#include "engine/memory.hpp"

#include <chrono>
#include <cstdlib>
#include <doctest/doctest.h>
#include <numeric>
#include <random>

namespace rmoe {
namespace {

using test::Output;
constexpr char kCase[] = "one rank of several with a device";

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

/// `count` ranks of this program in this mode.
Output run(int count, const char* mode, int signal = 0) {
  ::setenv("RMOE_TEST_MODE", mode, 1);
  ::setenv("RMOE_EMULATOR_DEVICES", "4", 0);
  return test::run_ranks(count, {"/proc/self/exe", concat("--test-case=", kCase)}, signal);
}

template <class T>
Tensor on_device(const std::vector<T>& values, Shape shape) {
  return to(from_vector<T>(values, shape), Device::cuda);
}

template <class T = float>
std::vector<T> values_of(const Tensor& x) {
  const Tensor here = to(x, Device::cpu);
  const auto values = here.span<T>();
  return {values.begin(), values.end()};
}

double first_of(const Tensor& x) {
  return to(to(x.reshape({x.numel()}).rows(0, 1), Device::cpu), DType::f64).item();
}

// ---- what a rank does in each mode

void check_all_reduce(Communicator& comm) {
  const int n = comm.size();
  for (const DType dtype : {DType::f32, DType::f64, DType::i32, DType::bf16}) {
    const Tensor x = full({1000}, comm.rank() + 1, dtype, Device::cuda), y = clone(x);
    comm.all_reduce(x);
    CHECK(first_of(x) == n * (n + 1) / 2);
    comm.all_reduce(y, Reduction::max);
    CHECK(first_of(y) == n);
  }
  const Tensor empty_one({0}, DType::f32, Device::cuda);
  comm.all_reduce(empty_one);
}

void check_pieces_and_roots(Communicator& comm) {
  const int n = comm.size(), rank = comm.rank();
  const int64_t M = 301;  // odd, and a piece of its own
  std::vector<float> ramp(size_t(n * M));
  std::iota(ramp.begin(), ramp.end(), float(rank));
  const Tensor all = on_device(ramp, {n * M});
  comm.reduce_scatter(all.rows(rank * M, M), all);
  CHECK(values_of(all.rows(rank * M, M))[5] == float(n * (rank * M + 5) + n * (n - 1) / 2));
  const Tensor gathered = zeros({n, M}, DType::f32, Device::cuda);
  comm.all_gather(gathered, all.rows(rank * M, M));
  for (int r = 0; r < n; ++r)
    CHECK(values_of(gathered)[size_t(r * M + 5)] == float(n * (r * M + 5) + n * (n - 1) / 2));
  const Tensor x = full({M}, rank + 1, DType::f32, Device::cuda);
  comm.broadcast(x, n - 1);
  CHECK(first_of(x) == n);
  fill(x, rank + 1);
  comm.reduce(x, 1);
  CHECK(first_of(x) == (rank == 1 ? n * (n + 1) / 2 : rank + 1));
}

/// From rank r to rank p go (r + 2 p) % 3 rows of 100 r + p.
void check_all_to_all(Communicator& comm) {
  const int n = comm.size(), rank = comm.rank();
  const auto rows = [](int from, int to) { return int64_t(from + 2 * to) % 3; };
  std::vector<int64_t> to, from;
  std::vector<float> sent, expected;
  for (int p = 0; p < n; ++p) {
    to.push_back(rows(rank, p));
    from.push_back(rows(p, rank));
    sent.insert(sent.end(), size_t(7 * to.back()), float(100 * rank + p));
    expected.insert(expected.end(), size_t(7 * from.back()), float(100 * p + rank));
  }
  const Tensor received = zeros({int64_t(expected.size()) / 7, 7}, DType::f32, Device::cuda);
  comm.all_to_all(received, from, on_device(sent, {int64_t(sent.size()) / 7, 7}), to);
  CHECK(values_of(received) == expected);
}

/// Beside the stream nothing is read before it is written, and no memory is handed out that is still in use.
void check_overlap(Communicator& comm) {
  const int n = comm.size();
  const Tensor x({5000}, DType::f32, Device::cuda);
  fill(x, 1);
  comm.begin();
  {
    const Tensor gone = full({5000}, 2, DType::f32, Device::cuda);
    comm.group([&] {
      comm.all_reduce(x);
      comm.all_reduce(gone);
    });
  }
  const Tensor other = full({5000}, 5, DType::f32, Device::cuda);
  comm.finish();
  CHECK(first_of(x) == n);
  CHECK(first_of(other) == 5);
}

void check_buckets(Communicator& comm) {
  const int n = comm.size(), rank = comm.rank();
  const std::vector<int64_t> numels{1000, 1, 130, 77, 2000};
  const ShardedRange sharded(numels, n);
  for (const bool shards : {false, true}) {
    GradientBuckets buckets(comm, numels, shards ? std::optional(sharded) : std::nullopt, 4000);
    std::vector<Tensor> grads(numels.size());
    for (size_t i = numels.size(); i-- > 0;) {
      grads[i] = full({numels[i]}, double(10 * i) + rank + 1, DType::f32, Device::cuda);
      buckets.ready(int64_t(i), grads[i]);
    }
    buckets.finish();
    if (shards) gather_parameters(comm, sharded, grads);  // every owner has the sums
    for (size_t i = 0; i < grads.size(); ++i)
      for (const float value : values_of(grads[i]))
        REQUIRE(value == float(n * int(10 * i) + n * (n + 1) / 2));
  }
}

/// Neighbours, and those across: each with collectives of its own, beside those of all.
void check_split(Communicator& comm) {
  const int n = comm.size(), rank = comm.rank(), side = rank % 2;
  const auto pair = comm.split(rank / 2), across = comm.split(side);
  CHECK(pair->size() == 2);
  CHECK(pair->rank() == side);
  CHECK(across->size() == n / 2);
  CHECK(across->rank() == rank / 2);
  check_pieces_and_roots(*pair);
  check_all_to_all(*pair);
  const Tensor of_all = full({5000}, rank + 1, DType::f32, Device::cuda), of_pair = clone(of_all),
               of_across = clone(of_all);
  comm.begin();
  comm.all_reduce(of_all);
  across->begin();
  across->all_reduce(of_across);
  pair->all_reduce(of_pair);  // nobody has to finish what is not beside
  CHECK(first_of(of_pair) == 2 * (rank - side) + 3);
  across->finish();
  CHECK(first_of(of_across) == (n == 2 ? rank + 1 : 2 * side + 4));
  comm.finish();
  CHECK(first_of(of_all) == n * (n + 1) / 2);
}

/// Collectives wait for the stream, whoever runs first: at the end of a communicator all streams run, at the
/// emulator's odd seeds in any order.
void check_order(std::unique_ptr<Communicator> comm) {
  const int n = comm->size();
  const Tensor x({100}, DType::f32, Device::cuda);
  for (int i = 0; i < 20; ++i) fill(x, 1000);
  fill(x, comm->rank() + 1);
  comm->begin();
  comm->all_reduce(x);
  comm.reset();
  CHECK(first_of(x) == n * (n + 1) / 2);
}

void check_errors(Communicator& comm) {
  CHECK_THROWS_WITH_AS(comm.all_reduce(zeros({1}, DType::f32)), "nccl: a tensor on cpu, wanted one on cuda",
                       Error);
  const Tensor x({3}, DType::f32, Device::cuda);
  CHECK_THROWS_AS(comm.all_gather(x, x), Error);
}

void check_progress(Communicator& comm) {
  const CollectiveProgress before = comm.progress();
  CHECK(before.begun > 0);
  const Tensor x = zeros({3, 2}, DType::f32, Device::cuda);
  comm.all_reduce(x);
  cuda::synchronize();
  CHECK(comm.progress().begun == before.begun + 1);
  CHECK(comm.progress().finished == before.begun + 1);
  CHECK(comm.progress().last == "all_reduce of f32 [3,2]");
  CHECK(comm.failure() == "");
}

/// NCCL tells of it in the background only. Whoever asks one communicator hears of all.
void check_failure(Communicator& comm) {
  const auto others = comm.split(0);
  others->all_reduce(zeros({4 + comm.rank()}, DType::f32, Device::cuda));
  cuda::synchronize();
  CHECK(comm.failure().find("mismatched collectives") != std::string::npos);
}

/// Steps of a collective of two neighbours and one of all, until something happens.
void train_forever(Store& store, Communicator& comm, const Watchdog::Options& options,
                   const std::function<void(int64_t)>& at_step) {
  const auto pair = comm.split(comm.rank() / 2);
  Watchdog watchdog(store, comm, options);
  const Tensor x = zeros({1000}, DType::f32, Device::cuda);
  for (int64_t step = 1;; ++step) {
    watchdog.step(step);
    at_step(step);
    pair->all_reduce(x);
    comm.all_reduce(x);
    (void)first_of(x);
  }
}

void die_at_some_moment(Store& store, Communicator& comm) {
  std::thread death;
  const int dead = std::stoi(variable("RMOE_TEST_RANK"));
  const auto moment = std::chrono::microseconds(std::stoi(variable("RMOE_TEST_MOMENT")));
  train_forever(store, comm, {.step_s = 60, .first_step_s = 60}, [&](int64_t step) {
    if (step == 3 && store.rank() == dead)
      death = std::thread([&] {
        std::this_thread::sleep_for(moment);
        ::kill(::getpid(), SIGKILL);
      });
  });
}

void hang(Store& store, Communicator& comm) {
  train_forever(store, comm, {.step_s = 1, .first_step_s = 20}, [&](int64_t step) {
    if (step == 4 && store.rank() == 1) ::raise(SIGSTOP);
  });
}

void run_mode(const std::string& mode, Store& store, Communicator& comm) {
  if (mode == "die") return die_at_some_moment(store, comm);
  if (mode == "hang") return hang(store, comm);
  if (mode == "config") check_same(store, {{"config", store.rank() == 2 ? "beef" : "cafe"}});
  if (mode == "mismatch") check_failure(comm);
  if (mode == "collectives") {
    check_all_reduce(comm);
    check_pieces_and_roots(comm);
    check_all_to_all(comm);
    memory::set_debug(false);  // which hands nothing out twice
    check_overlap(comm);
    memory::set_debug(true);
    check_buckets(comm);
    check_split(comm);
    check_errors(comm);
    check_progress(comm);
  }
}

}  // namespace

TEST_CASE("ranks: collectives of 2 and 4 processes") {
  for (const int count : {2, 4}) {
    const Output o = run(count, "collectives");
    CAPTURE(o.out);
    CAPTURE(o.err);
    CHECK(o.code == 0);
  }
}

TEST_CASE("ranks: collectives wait for what was enqueued before them") {
  const std::string seed = variable("RMOE_EMULATOR_SEED");
  ::setenv("RMOE_EMULATOR_SEED", "1", 1);
  const Output o = run(2, "order");
  seed.empty() ? ::unsetenv("RMOE_EMULATOR_SEED") : ::setenv("RMOE_EMULATOR_SEED", seed.c_str(), 1);
  CAPTURE(o.out);
  CAPTURE(o.err);
  CHECK(o.code == 0);
}

TEST_CASE("ranks: a collective that failed is known when the stream has been waited for") {
  const Output o = run(2, "mismatch");
  CAPTURE(o.out);
  CAPTURE(o.err);
  CHECK(o.code == 0);
}

TEST_CASE("ranks: when one is killed, all others end by themselves and name it") {
  std::minstd_rand random(std::random_device{}());
  for (int round = 0; round < 4; ++round) {
    const int dead = round, moment = int(random() % 30000);
    ::setenv("RMOE_TEST_RANK", std::to_string(dead).c_str(), 1);
    ::setenv("RMOE_TEST_MOMENT", std::to_string(moment).c_str(), 1);
    const Output o = run(4, "die");
    CAPTURE(moment);
    CAPTURE(o.err);
    CHECK(o.code != 0);
    CHECK(!o.has("did not end"));
    for (int rank = 0; rank < 4; ++rank)
      CHECK((rank == dead || o.has(concat("rmoe: rank ", rank, ", step "))));
    CHECK(o.has(concat(": rank ", dead, " (")));
    CHECK(o.has(") died"));
  }
}

TEST_CASE("ranks: one that hangs is named after the deadline of a step") {
  const Output o = run(4, "hang");
  CAPTURE(o.err);
  CHECK(o.code == 1);
  CHECK(o.has("step 4: the step did not end within 1 s; behind: rank 1 ("));
  CHECK(o.has("in step 4 after 7 collectives, others after 9"));  // of two in a step, and a split
  CHECK(!o.has("behind: rank 0 ("));                              // which waits for rank 1
  CHECK(o.has("the last begun is all_reduce of f32 [1000]"));
  CHECK(o.has("rmoe: rank 1 did not end and is killed"));
}

TEST_CASE("ranks: one with another config is named, by all") {
  const Output o = run(3, "config");
  CAPTURE(o.err);
  CHECK(o.code == 1);
  CHECK((o.out + o.err).find("start: rank 2 has another config: beef, most ranks have cafe") != o.err.npos);
  CHECK(o.has("start: rank 2 has another config: beef, most ranks have cafe"));
}

TEST_CASE("ranks: more ranks than devices are refused") {
  ::setenv("RMOE_EMULATOR_DEVICES", "1", 1);
  const Output o = run(2, "collectives");
  ::unsetenv("RMOE_EMULATOR_DEVICES");
  CAPTURE(o.err);
  CHECK(o.code == 1);
  CHECK(o.has("launch: local rank 1 wants device 1, this process sees 1; start fewer ranks"));
}

TEST_CASE("ranks: two on one device are named") {
  const Output o = run(2, "one device");
  CAPTURE(o.err);
  CHECK(o.code == 1);
  CHECK(o.has("nccl: ranks 0 and 1 both use the same device"));
}

TEST_CASE(kCase) {
  const std::string mode = variable("RMOE_TEST_MODE");
  const Environment environment = process_environment();
  if (!started_by_launch_ranks(environment)) return;
  const Launch launch = launch_from_environment(environment);
  const int device = device_of(launch, cuda::device_count());
  cuda::select_device(mode == "one device" ? 0 : device);
  Store store(launch, {.deadline_s = 60, .build = "test"});
  auto comm = make_communicator(store, Device::cuda);
  if (mode == "order")
    check_order(std::move(comm));
  else
    run_mode(mode, store, *comm);
  store.finish();
}

}  // namespace rmoe
