// What the emulator finds without instrumented kernels: each rule is broken once.
#include "engine/cuda_emulator/tests/device.hpp"
#include "engine/cuda_emulator/tests/kernels.hpp"

#include <csignal>
#include <cstring>
#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

namespace rmoe::cuda::test {
namespace {

/// The error of a kernel that breaks a rule, at every seed the same kind of.
void refuses(const std::string& part, const std::function<void()>& body) {
  for_seeds([&] {
    const std::string message = error_of(body);
    CAPTURE(emulator::options().seed);
    CAPTURE(message);
    CHECK(has(message, part));
  });
}

}  // namespace

TEST_CASE("a barrier that threads reach at different places") {
  Array<int> x(128);
  refuses("divergent barrier", [&] { divergent_barrier(x, nullptr); });
  const std::string message = error_of([&] { divergent_barrier(x, nullptr); });
  CHECK(has(message, "others wait at __syncthreads"));
  CHECK(has(message, "divergent_barrier_kernel launched at"));
  CHECK(has(message, "faulty_kernels.cu:"));
}

TEST_CASE("a deadlock names who waits where") {
  Array<int> x(128);
  refuses("deadlock", [&] { deadlock(x, nullptr); });
  const std::string message = error_of([&] { deadlock(x, nullptr); });
  CHECK(has(message, "32 threads (first: 16) wait in __syncthreads at"));
  CHECK(has(message, "32 threads (first: 0) wait in __syncwarp at"));
}

TEST_CASE("a mask that names an exited lane, whether it exits first or while others wait") {
  Array<float> x(64);
  const std::string first = "names lanes that have exited",
                    later = "lane 31 exited while lanes 7fffffff wait";
  CHECK(has(error_of([&] { exited_lane(x, 0, nullptr); }), first));
  CHECK(has(error_of([&] { exited_lane(x, 31, nullptr); }), later));
  refuses("exited", [&] { exited_lane(x, 7, nullptr); });
}

TEST_CASE("lanes of one mask in different operations") {
  Array<float> x(64);
  refuses("divergent warp", [&] { divergent_warp(x, nullptr); });
}

TEST_CASE("a mask that names lanes the warp does not have") {
  Array<float> x(64);
  refuses("names lanes that this warp does not have", [&] { partial_warp(x, nullptr); });
}

TEST_CASE("a mask that does not name the caller") {
  Array<float> x(64);
  refuses("does not name the calling lane", [&] { outside_mask(x, nullptr); });
}

TEST_CASE("the watchdog ends a kernel that spins") {
  const KeepOptions keep;
  emulator::options().watchdog_s = 0.2;
  Array<int> flag(1, 0);
  const std::string message = error_of([&] { spin(flag, nullptr); });
  CHECK(has(message, "watchdog"));
  CHECK(has(message, "spin_kernel"));
  emulator::options().watchdog_s = 60;
  CHECK(error_of([&] { write_at(flag, 0, nullptr); }) == "");  // and the device works again
}

TEST_CASE("launches beyond the limits") {
  Array<int> x(1056);
  refuses("1 to 1024 threads", [&] { too_many_threads(x, nullptr); });
  refuses("49153 bytes of dynamic shared memory", [&] { dynamic_shared(x, 49153, nullptr); });
  CHECK(error_of([&] { dynamic_shared(x, 49152, nullptr); }) == "");
}

TEST_CASE("static shared memory ends at 48 KiB") {
  Array<int> x(64);
  refuses("static shared memory: 50176 bytes", [&] { static_shared(x, nullptr); });
}

TEST_CASE("a block's shared memory ends at 163 KiB, on sm_90 at 227 KiB") {
  const KeepOptions keep;
  Array<int> x(64);
  constexpr int kStatic = 40960;
  for (int architecture : {80, 90}) {
    emulator::options().architecture = architecture;
    const int limit = (architecture == 80 ? 163 : 227) << 10;
    CHECK(error_of([&] { block_shared(x, limit - kStatic, nullptr); }) == "");
    CHECK(
        has(error_of([&] { block_shared(x, limit - kStatic + 1, nullptr); }), "shared memory of the block"));
    CHECK(cudaFuncSetAttribute(&x, cudaFuncAttributeMaxDynamicSharedMemorySize, limit + 1) ==
          cudaErrorInvalidValue);
    cudaGetLastError();
  }
}

TEST_CASE("misaligned copies and fragments") {
  Array<float> x(64, 1.0f);
  CHECK(error_of([&] { misaligned_copy(x, 4, 4, nullptr); }) == "");
  refuses("cp.async of 16 bytes", [&] { misaligned_copy(x, 0, 1, nullptr); });
  refuses("cp.async of 16 bytes", [&] { misaligned_copy(x, 1, 0, nullptr); });
  refuses("ldmatrix: row address", [&] { misaligned_fragment(x, nullptr); });
}

TEST_CASE("cp.async that does not go to shared memory") {
  Array<float> x(64, 1.0f);
  refuses("not in the block's shared memory", [&] { copy_outside_shared(x, nullptr); });
}

TEST_CASE("a copy that nobody waited for arrives late with even seeds") {
  if (emulator::has_checker()) return;  // which ends the kernel: see checker_test.cpp
  const KeepOptions keep;
  Array<float> x(128, 1.0f), y(32);
  emulator::options().seed = 2;
  unwaited_copy(y, x, true, nullptr);
  CHECK(y.values()[31] == 1.0f);
  unwaited_copy(y, x, false, nullptr);
  CHECK(y.values()[31] != y.values()[31]);
}

TEST_CASE("a host pointer or a freed one among a kernel's arguments") {
  float host[32] = {};
  Array<float> y(32);
  refuses("argument 2 is a host pointer", [&] { copy_values(y, host, 32, nullptr); });
  float* freed = nullptr;
  CUDA_CHECK(cudaMalloc(reinterpret_cast<void**>(&freed), 128));
  CUDA_CHECK(cudaFree(freed));
  CHECK(has(error_of([&] { copy_values(freed, y, 32, nullptr); }),
            "argument 1 is a pointer to freed device memory"));
}

TEST_CASE("a write behind an allocation damages its guard band") {
  if (emulator::has_checker()) return;
  Array<int> x(25);
  CHECK(emulator::take_damage() == "");
  write_at(x, 30, nullptr);
  CUDA_CHECK(cudaDeviceSynchronize());
  CHECK(has(emulator::take_damage(), "byte 120 of an allocation of 100 bytes"));
  CHECK(emulator::take_damage() == "");
}

TEST_CASE("memory whose guard band is damaged cannot be freed in silence") {
  if (emulator::has_checker()) return;
  Array<int> x(25);
  write_at(x, 30, nullptr);
  CUDA_CHECK(cudaDeviceSynchronize());
  const pid_t child = fork();  // what it does ends a program
  if (child == 0) {
    std::signal(SIGABRT, SIG_DFL);
    cudaFree(x);
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  CHECK((WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT));
  CHECK(emulator::take_damage() != "");
}

TEST_CASE("a failed kernel makes the device unusable until it is reset") {
  Array<float> x(64);
  exited_lane(x, 7, nullptr);
  CHECK(cudaDeviceSynchronize() == cudaErrorLaunchFailure);
  CHECK(cudaGetLastError() == cudaErrorLaunchFailure);
  CHECK(cudaGetLastError() == cudaErrorLaunchFailure);
  CHECK(has(cudaGetErrorString(cudaErrorLaunchFailure), "exited_lane_kernel"));
  void* memory = nullptr;
  CHECK(cudaMalloc(&memory, 64) == cudaErrorLaunchFailure);
  CHECK_THROWS(exited_lane(x, 7, nullptr));
  cudaDeviceReset();
  CHECK(cudaGetLastError() == cudaSuccess);
}

TEST_CASE("a refused call is remembered once") {
  CHECK(cudaSetDevice(7) == cudaErrorInvalidDevice);
  CHECK(cudaPeekAtLastError() == cudaErrorInvalidDevice);
  CHECK(has(cudaGetErrorString(cudaErrorInvalidDevice), "device 7 of 1"));
  CHECK(cudaGetLastError() == cudaErrorInvalidDevice);
  CHECK(cudaGetLastError() == cudaSuccess);
}

}  // namespace rmoe::cuda::test
