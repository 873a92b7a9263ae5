#include "train/peak.hpp"

#include "engine/parallel.hpp"

#include <chrono>
#include <doctest/doctest.h>

namespace rmoe::test {

TEST_CASE("peak: is quick and plausible") {
  const auto begin = std::chrono::steady_clock::now();
  const double peak = measure_gemm_peak();
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  CHECK(peak > 1e8);
  CHECK(peak < 1e12 * thread_count());  // 64 lanes at 8 GHz: no processor
  CHECK(seconds < 5);                   // 0.02 on a machine that has nothing else to do
}

TEST_CASE("peak: bandwidth is plausible") {
  const double bandwidth = measure_bandwidth();
  CHECK(bandwidth > 1e8);
  CHECK(bandwidth < 1e13);
}

}  // namespace rmoe::test
