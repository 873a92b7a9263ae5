// Correct kernels give correct results, whatever order threads and blocks run in.
#include "engine/cuda_emulator/tests/kernels.hpp"

#include "engine/cuda_emulator/tests/device.hpp"

#include <cmath>
#include <doctest/doctest.h>
#include <numeric>

namespace rmoe::cuda::test {
namespace {

std::vector<float> pattern(size_t n, int period) {
  std::vector<float> values(n);
  for (size_t i = 0; i < n; i++)
    values[i] = static_cast<float>(static_cast<int>(i * 7 % static_cast<size_t>(period)) - 5);
  return values;
}

std::vector<bf16> random_bf16(size_t n, uint32_t state) {
  std::vector<bf16> values(n);
  for (bf16& value : values) {
    state = state * 1664525 + 1013904223;
    value = __float2bfloat16(static_cast<float>(static_cast<int>(state >> 16) % 2001 - 1000) / 500.0f);
  }
  return values;
}

/// Largest relative error of the kernel's product against one in double.
double product_error(int m, int n, int k, Bug bug) {
  const auto a = random_bf16(static_cast<size_t>(m) * k, 1), b = random_bf16(static_cast<size_t>(n) * k, 2);
  Array<bf16> device_a(a), device_b(b), c(static_cast<size_t>(m) * n);
  matrix_product(c, device_a, device_b, m, n, k, bug, nullptr);
  const auto got = c.values();
  double worst = 0.0;
  for (int i = 0; i < m; i++)
    for (int j = 0; j < n; j++) {
      double want = 0.0;
      for (int p = 0; p < k; p++)
        want += static_cast<double>(__bfloat162float(a[i * k + p])) * __bfloat162float(b[j * k + p]);
      const double error = std::abs(__bfloat162float(got[i * n + j]) - want) / (1.0 + std::abs(want));
      worst = std::isnan(error) ? INFINITY : std::max(worst, error);
    }
  return worst;
}

}  // namespace

TEST_CASE("vector addition with a ragged last block") {
  for_seeds([] {
    const int n = 1000;
    Array<float> x(pattern(n, 13)), y(pattern(n, 11)), z(n);
    vector_add(z, x, y, n, nullptr);
    const auto got = z.values(), a = x.values(), b = y.values();
    for (size_t i = 0; i < n; i++) CHECK(got[i] == a[i] + b[i]);
  });
}

TEST_CASE("sums over blocks") {
  for_seeds([] {
    const int rows = 37, columns = 301;
    const auto values = pattern(rows * columns, 17);
    Array<float> x(values), sums(rows);
    row_sums(sums, x, rows, columns, nullptr);
    const auto got = sums.values();
    for (int r = 0; r < rows; r++)
      CHECK(got[r] ==
            std::accumulate(values.begin() + r * columns, values.begin() + (r + 1) * columns, 0.0f));
  });
}

TEST_CASE("the last block adds up what the others left") {
  for_seeds([] {
    const int n = 5000, blocks = 9;
    const auto values = pattern(n, 23);
    Array<float> x(values), partial(blocks), sum(1);
    Array<unsigned> done(1, 0u);
    total(sum, partial, done, x, n, blocks, nullptr);
    CHECK(sum.values()[0] == std::accumulate(values.begin(), values.end(), 0.0f));
  });
}

TEST_CASE("a tensor-core product agrees with double precision, ragged and with several tiles per block") {
  for_seeds([] {
    for (int multiprocessors : {0, 1}) {
      emulator::options().multiprocessors = multiprocessors;
      CHECK(product_error(200, 264, 96, Bug::none) < 4e-3);
    }
  });
}

TEST_CASE("planted mistakes in the product are found") {
  const KeepOptions keep;
  emulator::options().multiprocessors = 1;
  const auto wrong = [](Bug bug, uint64_t seed) {
    emulator::options().seed = seed;
    double error = 0.0;
    const std::string message = error_of([&] { error = product_error(136, 136, 128, bug); });
    const std::string damage = emulator::take_damage();
    return !message.empty() || !damage.empty() || error > 1e-2;
  };
  CHECK(!wrong(Bug::none, 0));
  CHECK(wrong(Bug::no_wait, 0));
  CHECK(wrong(Bug::short_wait, 0));
  CHECK(wrong(Bug::no_barrier, 0));
  CHECK(wrong(Bug::no_barrier, 1));
  CHECK(wrong(Bug::swapped_fragment, 0));
  CHECK(wrong(Bug::swapped_fragment, 1));
}

TEST_CASE("a store past the end damages the guard band or is refused") {
  Array<bf16> a(random_bf16(128 * 32, 1)), b(random_bf16(128 * 32, 2)), c(size_t{100} * 128);
  const auto run = [&] { matrix_product(c, a, b, 100, 128, 32, Bug::wrong_tail, nullptr); };
  if (emulator::has_checker()) {
    CHECK(has(error_of(run), "write out of bounds"));
  } else {
    CHECK(error_of(run) == "");
    CHECK(has(emulator::take_damage(), "byte 25600 of an allocation of 25600 bytes"));
  }
  CHECK(emulator::take_damage() == "");
}

TEST_CASE("ldmatrix hands out tiles as documented") {
  for (bool transposed : {false, true}) {
    Array<uint32_t> registers(128);
    fragments(registers, transposed, nullptr);
    const auto got = registers.values();
    for (uint32_t lane = 0; lane < 32; lane++)
      for (uint32_t m = 0; m < 4; m++) {
        const uint32_t g = lane / 4, t = lane % 4 * 2;
        const uint32_t low = m * 64 + (transposed ? t * 8 + g : g * 8 + t), high = low + (transposed ? 8 : 1);
        CHECK(got[lane * 4 + m] == (low | high << 16));
      }
  }
}

TEST_CASE("votes and shuffles") {
  for_seeds([] {
    Array<unsigned> results(32 * 8);
    warp_operations(results, nullptr);
    const auto got = results.values();
    for (unsigned lane = 0; lane < 32; lane++) {
      const unsigned* mine = &got[lane * 8];
      CHECK(mine[0] == 0x49249249u);
      CHECK(mine[1] == 5);
      CHECK(mine[2] == (lane < 2 ? lane : lane - 2));
      CHECK(mine[3] == (lane % 8 + 3 < 8 ? lane + 3 : lane));
      CHECK(mine[4] == (lane ^ 9));
      CHECK(mine[5] == 0x11111111u << lane % 4);
      CHECK(mine[6] == 3);
      CHECK(mine[7] == (lane < 16 ? 0xaaaau : 0xaaaa0000u));
    }
  });
}

}  // namespace rmoe::cuda::test
