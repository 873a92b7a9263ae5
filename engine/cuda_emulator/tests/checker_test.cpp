// What instrumented kernels let the emulator find. These run only where kernels are instrumented
// (tests/main.cpp).
#include "engine/cuda_emulator/tests/device.hpp"
#include "engine/cuda_emulator/tests/kernels.hpp"

#include <doctest/doctest.h>

namespace rmoe::cuda::test {
namespace {

void finds(const std::string& part, const std::function<void()>& body) {
  for_seeds([&] {
    const std::string message = error_of(body);
    CAPTURE(emulator::options().seed);
    CAPTURE(message);
    CHECK(has(message, part));
    CHECK(has(message, "faulty_kernels.cu:"));
  });
}

void passes(const std::function<void()>& body) {
  for_seeds([&] { CHECK(error_of(body) == ""); });
}

}  // namespace

TEST_CASE("checker: accesses out of bounds") {
  Array<int> x(100, 0);
  finds("write out of bounds", [&] { write_at(x, 100, nullptr); });
  finds("write out of bounds", [&] { write_at(x, -1, nullptr); });
  finds("write out of bounds", [&] { shared_write_at(x, 1, nullptr); });
  passes([&] { write_at(x, 99, nullptr); });
  passes([&] { shared_write_at(x, 0, nullptr); });
  Array<float> few(10, 1.0f), many(32);
  finds("read out of bounds", [&] { copy_values(many, few, 11, nullptr); });
  passes([&] { copy_values(many, few, 10, nullptr); });
}

TEST_CASE("checker: the report names function, file and line") {
  Array<int> x(100, 0);
  const std::string message = error_of([&] { write_at(x, 100, nullptr); });
  CHECK(has(message, "write_at_kernel"));
  CHECK(has(message, "faulty_kernels.cu:"));
  CHECK(has(message, "block (0,0,0) thread (0,0,0) of write_at_kernel launched at"));
}

TEST_CASE("checker: reads of memory nobody wrote") {
  Array<float> unwritten(32), y(32);
  finds("read of memory never written", [&] { copy_values(y, unwritten, 32, nullptr); });
  Array<int> z(32);
  finds("read of memory never written", [&] { read_shared_unwritten(z, nullptr); });
}

TEST_CASE("checker: races in shared memory, across and within a warp") {
  Array<int> x(64);
  finds("data race", [&] { shared_race(x, false, nullptr); });
  finds("data race", [&] { warp_race(x, false, nullptr); });
  passes([&] { shared_race(x, true, nullptr); });
  passes([&] { warp_race(x, true, nullptr); });
}

TEST_CASE("checker: races between blocks") {
  Array<int> x(32);
  finds("data race, write after write", [&] { block_race(x, nullptr); });
}

TEST_CASE("checker: neighbouring bytes are no race") {
  Array<uint8_t> x(64);
  passes([&] { byte_neighbours(x, nullptr); });
}

TEST_CASE("checker: without a fence the last block may not read what others left") {
  Array<float> sum(1), partial(8);
  for_seeds([&] {
    Array<unsigned> done(1, 0u);
    CHECK(has(error_of([&] { total_without_fence(sum, partial, done, nullptr); }),
              "data race, read after write"));
  });
}

TEST_CASE("checker: a copy that nobody waited for, at any seed") {
  Array<float> x(128, 1.0f), y(32);
  finds("cp.async still under way", [&] { unwaited_copy(y, x, false, nullptr); });
  passes([&] { unwaited_copy(y, x, true, nullptr); });
}

TEST_CASE("checker: host memory reached through a structure") {
  float host[4] = {};
  finds("host memory used by a kernel", [&] { pointer_in_struct({host}, nullptr); });
  auto* heap = new float[4];
  finds("host memory used by a kernel", [&] { pointer_in_struct({heap}, nullptr); });
  delete[] heap;
  Array<float> device(4);
  passes([&] { pointer_in_struct({device}, nullptr); });
}

TEST_CASE("checker: planted mistakes in the product are named") {
  const KeepOptions keep;
  emulator::options().multiprocessors = 1;
  const size_t m = 136, n = 136, k = 128;
  const bf16 one = __float2bfloat16(1.0f);
  Array<bf16> a(m * k, one), b(n * k, one), c(m * n);
  const auto run = [&](Bug bug) { return error_of([&] { matrix_product(c, a, b, m, n, k, bug, nullptr); }); };
  for (uint64_t seed : {0, 1}) {
    emulator::options().seed = seed;
    CHECK(run(Bug::none) == "");
    CHECK(has(run(Bug::no_wait), "cp.async still under way"));
    CHECK(has(run(Bug::short_wait), "cp.async still under way"));
    CHECK(run(Bug::no_barrier) != "");
    CHECK(has(run(Bug::wrong_tail), "write out of bounds"));
  }
}

}  // namespace rmoe::cuda::test
