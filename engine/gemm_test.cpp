#include "engine/gemm.hpp"

#include "engine/gemm_kernel.hpp"
#include "engine/gemm_pairs.hpp"
#include "engine/parallel.hpp"
#include "tests/op_case.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <doctest/doctest.h>
#include <limits>

namespace rmoe::test {
namespace {

template <class T>
std::vector<T> numbers(int64_t n, uint64_t seed) {
  const Array a = random({n}, -1, 1, seed);
  return {a.data.begin(), a.data.end()};
}

/// What C holds before: garbage where beta = 0 must not read it.
template <class T>
std::vector<T> before(int64_t n, double beta) {
  return beta == 0 ? std::vector<T>(n, std::numeric_limits<T>::quiet_NaN()) : numbers<T>(n, 9);
}

struct Operand {
  bool transposed;
  int64_t ld, offset = 0;
  int64_t at(int64_t row, int64_t column) const {
    return offset + (transposed ? column * ld + row : row * ld + column);
  }
};

/// c_mn = beta c_mn + sum_k a_mk b_kn by the definition, in double.
template <class T>
void naive(std::vector<double>& c, Operand at_c, const std::vector<T>& a, Operand at_a,
           const std::vector<T>& b, Operand at_b, int64_t m, int64_t n, int64_t k, double beta) {
  for (int64_t i = 0; i < m; ++i)
    for (int64_t j = 0; j < n; ++j) {
      double sum = 0;
      for (int64_t l = 0; l < k; ++l) sum += double(a[at_a.at(i, l)]) * double(b[at_b.at(l, j)]);
      double& to = c[at_c.at(i, j)];
      to = beta == 0 ? sum : beta * to + sum;
    }
}

/// Equal up to the rounding of k products; NaN, left where nothing may be written, equals NaN.
template <class T>
void check_product(const std::string& what, const std::vector<T>& got, const std::vector<double>& wanted,
                   int64_t k) {
  const double tolerance = 8 * std::numeric_limits<T>::epsilon() * (std::sqrt(double(k)) + 4);
  for (size_t i = 0; i < got.size(); ++i) {
    if (std::isnan(got[i]) && std::isnan(wanted[i])) continue;
    if (std::fabs(got[i] - wanted[i]) <= tolerance * std::max(1.0, std::fabs(wanted[i]))) continue;
    FAIL_CHECK(what, ": element ", i, " is ", got[i], ", wanted ", wanted[i]);
    return;
  }
}

/// Runs f(c) on 1, 2 and 3 threads: equal bits, and the naive product within rounding.
template <class T, class F>
void check_threads(const std::string& what, const std::vector<T>& c, const std::vector<double>& wanted,
                   int64_t k, F&& f) {
  const int threads_before = thread_count();
  std::vector<T> first;
  for (int threads : {1, 2, 3}) {
    set_thread_count(threads);
    std::vector<T> result = c;
    f(result.data());
    if (threads == 1) {
      check_product(what, result, wanted, k);
      first = result;
    }
    const auto same = [](T x, T y) { return x == y || (std::isnan(x) && std::isnan(y)); };
    CHECK_MESSAGE(std::equal(first.begin(), first.end(), result.begin(), same), what, ": other values with ",
                  threads, " threads");
  }
  set_thread_count(threads_before);
}

constexpr bool kBoth[] = {false, true};
constexpr Trans trans(bool t) { return t ? Trans::yes : Trans::no; }

enum class Factors { as_they_are, bf16 };

/// The factors that a product uses.
template <class T>
std::vector<T> used(std::vector<T> x, Factors factors) {
  if (factors == Factors::bf16)
    for (T& v : x) v = T(float(bf16(float(v))));
  return x;
}

/// All transposes and betas, `gap` unused elements behind every stored row; serial, parallel and batched.
template <class T>
void check_sizes(int64_t m, int64_t n, int64_t k, int64_t gap = 0, int64_t batch = 1,
                 Factors factors = Factors::as_they_are) {
  const Bf16Products products(factors == Factors::bf16);
  for (bool ta : kBoth)
    for (bool tb : kBoth)
      for (double beta : {0.0, 1.0, -0.5}) {
        const std::string what =
            concat(batch, " x ", Shape{m, n, k}, ta ? " T" : " N", tb ? "T" : "N", ", beta ", beta);
        const int64_t lda = (ta ? m : k) + gap, ldb = (tb ? k : n) + gap, ldc = n + gap;
        const int64_t stride_a = (ta ? k : m) * lda, stride_b = (tb ? n : k) * ldb, stride_c = m * ldc;
        const std::vector<T> a = numbers<T>(batch * stride_a, 1), b = numbers<T>(batch * stride_b, 2);
        const std::vector<T> c = before<T>(batch * stride_c, beta);
        std::vector<double> wanted(c.begin(), c.end());
        for (int64_t i = 0; i < batch; ++i)
          naive(wanted, {false, ldc, i * stride_c}, used(a, factors), {ta, lda, i * stride_a},
                used(b, factors), {tb, ldb, i * stride_b}, m, n, k, beta);
        check_threads<T>("gemm_batched " + what, c, wanted, k, [&](T* to) {
          gemm_batched<T>(batch, trans(ta), trans(tb), m, n, k, a.data(), lda, stride_a, b.data(), ldb,
                          stride_b, T(beta), to, ldc, stride_c);
        });
        if (batch != 1) continue;
        check_threads<T>("gemm " + what, c, wanted, k, [&](T* to) {
          gemm<T>(trans(ta), trans(tb), m, n, k, a.data(), lda, b.data(), ldb, T(beta), to, ldc);
        });
        if (factors == Factors::bf16) continue;
        check_threads<T>("gemm_serial " + what, c, wanted, k, [&](T* to) {
          gemm_serial<T>(trans(ta), trans(tb), m, n, k, a.data(), lda, b.data(), ldb, T(beta), to, ldc);
        });
      }
}

using Offsets = std::vector<int32_t>;

template <class T>
void check_grouped(const Offsets& offsets, int64_t n, int64_t k, Factors factors = Factors::as_they_are) {
  const Bf16Products products(factors == Factors::bf16);
  const int64_t E = int64_t(offsets.size()) - 1, M = offsets.back();
  const std::vector<T> a = numbers<T>(M * k, 1), b = numbers<T>(E * n * k, 2);
  for (bool tb : kBoth)
    for (double beta : {0.0, 1.0}) {
      const std::vector<T> c = before<T>(M * n, beta);
      std::vector<double> wanted(c.begin(), c.end());
      for (int64_t e = 0; e < E; ++e)
        naive(wanted, {false, n, offsets[e] * n}, used(a, factors), {false, k, offsets[e] * k},
              used(b, factors), {tb, tb ? k : n, e * n * k}, offsets[e + 1] - offsets[e], n, k, beta);
      check_threads<T>(concat("gemm_grouped ", Shape{M, n, k}, ", beta ", beta), c, wanted, k, [&](T* to) {
        gemm_grouped<T>(E, offsets.data(), trans(tb), n, k, a.data(), b.data(), T(beta), to);
      });
    }
}

template <class T>
void check_grouped_reduce(const Offsets& offsets, int64_t m, int64_t n,
                          Factors factors = Factors::as_they_are) {
  const Bf16Products products(factors == Factors::bf16);
  const int64_t E = int64_t(offsets.size()) - 1, M = offsets.back();
  const std::vector<T> a = numbers<T>(M * m, 1), b = numbers<T>(M * n, 2);
  for (double beta : {0.0, 1.0}) {
    const std::vector<T> c = before<T>(E * m * n, beta);
    std::vector<double> wanted(c.begin(), c.end());
    for (int64_t e = 0; e < E; ++e)
      naive(wanted, {false, n, e * m * n}, used(a, factors), {true, m, offsets[e] * m}, used(b, factors),
            {false, n, offsets[e] * n}, m, n, offsets[e + 1] - offsets[e], beta);
    check_threads<T>(
        concat("gemm_grouped_reduce ", Shape{M, m, n}, ", beta ", beta), c, wanted, M,
        [&](T* to) { gemm_grouped_reduce<T>(E, offsets.data(), m, n, a.data(), b.data(), T(beta), to); });
  }
}

}  // namespace

TEST_CASE_TEMPLATE("gemm multiplies for all transposes and betas", T, float, double) {
  check_sizes<T>(1, 1, 1);
  check_sizes<T>(3, 5, 7);
  check_sizes<T>(17, 33, 1, 3);
  check_sizes<T>(14, 32, 64);
  check_sizes<T>(1, 67, 129, 5);
  check_sizes<T>(67, 1, 31);
  check_sizes<T>(131, 97, 53, 1);
  check_sizes<T>(301, 205, 37);
  check_sizes<T>(130, 352, 400);  // B does not fit the second-level cache at once
}

TEST_CASE_TEMPLATE("gemm multiplies a long inner dimension", T, float, double) {
  check_sizes<T>(29, 37, 2053);
  check_sizes<T>(70, 112, 2100);  // B stays where it is if it is not transposed
  check_sizes<T>(5, 3, 4099, 7);
}

TEST_CASE_TEMPLATE("gemm adds a bias to every row, each group its own", T, float, double) {
  const int64_t n = 35;
  const Offsets offsets = {0, 2, 2, 131};
  for (int64_t k : {0, 7, 2053}) {
    const int64_t M = offsets.back();
    const std::vector<T> a = numbers<T>(M * k, 1), b = numbers<T>(3 * n * k, 2), bias = numbers<T>(3 * n, 3);
    std::vector<double> wanted(M * n), grouped(M * n);
    naive(wanted, {false, n}, a, {false, k}, b, {true, k}, M, n, k, 0);
    for (int64_t i = 0; i < M * n; ++i) wanted[i] += bias[i % n];
    for (int64_t e = 0; e < 3; ++e) {
      const int64_t begin = offsets[e], end = offsets[e + 1];
      naive(grouped, {false, n, begin * n}, a, {false, k, begin * k}, b, {true, k, e * n * k}, end - begin, n,
            k, 0);
      for (int64_t i = begin * n; i < end * n; ++i) grouped[i] += bias[e * n + i % n];
    }
    const std::vector<T> c = before<T>(M * n, 0);
    check_threads<T>(concat("gemm with bias, k = ", k), c, wanted, k, [&](T* to) {
      gemm<T>(Trans::no, Trans::yes, M, n, k, a.data(), k, b.data(), k, T(0), to, n, bias.data());
    });
    check_threads<T>(concat("gemm_grouped with bias, k = ", k), c, grouped, k, [&](T* to) {
      gemm_grouped<T>(3, offsets.data(), Trans::yes, n, k, a.data(), b.data(), T(0), to, bias.data());
    });
  }
}

TEST_CASE_TEMPLATE("gemm of empty matrices writes beta C", T, float, double) {
  check_sizes<T>(0, 3, 4);
  check_sizes<T>(3, 0, 4);
  check_sizes<T>(3, 4, 0);
  check_sizes<T>(40, 50, 0);
}

TEST_CASE_TEMPLATE("gemm_batched multiplies every item", T, float, double) {
  check_sizes<T>(3, 5, 7, 0, 4);
  check_sizes<T>(65, 44, 31, 2, 3);
  check_sizes<T>(3, 5, 7, 0, 0);
}

TEST_CASE_TEMPLATE("gemm_grouped multiplies each group by its own matrix", T, float, double) {
  check_grouped<T>({0, 2, 5}, 3, 4);
  check_grouped<T>({0, 0, 3, 3, 7, 7}, 5, 3);
  check_grouped<T>({0, 0}, 5, 3);
  check_grouped<T>({0, 1, 140, 140, 401}, 67, 131);
}

TEST_CASE_TEMPLATE("gemm_grouped_reduce adds up the rows of each group, none giving zero", T, float, double) {
  check_grouped_reduce<T>({0, 2, 5}, 3, 4);
  check_grouped_reduce<T>({0, 0, 3, 3, 7, 7}, 5, 3);
  check_grouped_reduce<T>({0, 0}, 30, 40);
  check_grouped_reduce<T>({0, 1, 140, 140, 401}, 67, 131);
}

TEST_CASE_TEMPLATE("gemm kernels of all instruction sets agree to the last bit", T, float, double) {
  const int64_t m = 13, n = 157, k = 1043;  // odd rows, every width of a panel, several blocks of k
  const std::vector<T> a = numbers<T>(m * k, 1), b = numbers<T>(k * n, 2), bias = numbers<T>(n, 3);
  std::vector<double> wanted(m * n);
  for (int64_t i = 0; i < m; ++i) std::copy(bias.begin(), bias.end(), wanted.begin() + i * n);
  for (int64_t i = 0; i < m; ++i)
    for (int64_t j = 0; j < n; ++j)
      for (int64_t l = 0; l < k; ++l) wanted[i * n + j] += double(a[i * k + l]) * double(b[l * n + j]);
  std::vector<T> first;
  for (const gemm_kernel::Kernel<T>* kernel : gemm_kernel::available<T>()) {
    std::vector<T> packed(kernel->packed_size(k, n)), c(m * n, std::numeric_limits<T>::quiet_NaN());
    kernel->pack(packed.data(), false, k, n, b.data(), n, n, 0, n);
    kernel->multiply({.m = m,
                      .k = k,
                      .end = n,
                      .a = a.data(),
                      .lda = k,
                      .b = packed.data(),
                      .packed_k = k,
                      .packed_n = n,
                      .beta = 0,
                      .bias = bias.data(),
                      .c = c.data(),
                      .ldc = n});
    check_product(concat("kernel ", kernel->name), c, wanted, k);
    if (first.empty()) first = c;
    CHECK_MESSAGE(c == first, kernel->name, " rounds otherwise");
  }
}

TEST_CASE("bf16 products are those of rounded factors, summed in fp32") {
  for (auto [m, n, k] : {std::array<int64_t, 3>{1, 1, 1},
                         {3, 5, 7},
                         {14, 32, 64},
                         {67, 96, 131},
                         {29, 37, 2053},
                         {0, 3, 4},
                         {3, 4, 0}})
    check_sizes<float>(m, n, k, k % 3, 1, Factors::bf16);
  check_sizes<float>(65, 44, 31, 2, 3, Factors::bf16);
  check_grouped<float>({0, 1, 140, 140, 401}, 67, 131, Factors::bf16);
  check_grouped_reduce<float>({0, 1, 140, 140, 401}, 67, 131, Factors::bf16);
  check_sizes<double>(17, 33, 5);  // double is not rounded
}

TEST_CASE("bf16 products stay within 2^-8 of the sum of all products' sizes, and NaN stays NaN") {
  const int64_t m = 40, n = 50, k = 700;
  std::vector<float> a = numbers<float>(m * k, 1), b = numbers<float>(k * n, 2), c(m * n);
  a[3 * k + 5] = std::bit_cast<float>(0x7fffffffu);  // adding to its bits would turn it into a number
  const Bf16Products products(true);
  gemm<float>(Trans::no, Trans::no, m, n, k, a.data(), k, b.data(), n, 0, c.data(), n);
  double worst = 0;
  for (int64_t i = 0; i < m; ++i)
    for (int64_t j = 0; j < n; ++j) {
      double sum = 0, size = 0;
      for (int64_t l = 0; l < k; ++l) {
        const double product = double(a[i * k + l]) * double(b[l * n + j]);
        sum += product;
        size += std::fabs(product);
      }
      if (i == 3)
        CHECK(std::isnan(c[i * n + j]));
      else
        worst = std::max(worst, std::fabs(c[i * n + j] - sum) / size);
    }
  CHECK(worst < 1.0 / 256);
  CHECK(worst > 1e-5);  // it does round
}

TEST_CASE("bf16 kernels of all instruction sets agree to the last bit") {
  using gemm_kernel::Pair;
  const int64_t m = 13, n = 157, k = 1043, pairs = (k + 1) / 2;
  const std::vector<float> a = numbers<float>(m * k, 1), b = numbers<float>(k * n, 2);
  std::vector<Pair> a_pairs(m * pairs), b_pairs(pairs * n);
  gemm_kernel::Rounding{a_pairs.data(), a.data(), k, m, k, true}.run(0, m);
  gemm_kernel::Rounding{b_pairs.data(), b.data(), n, k, n, false}.run(0, pairs);
  std::vector<float> first;
  for (const gemm_kernel::Kernel<Pair>* kernel : gemm_kernel::available<Pair>()) {
    std::vector<Pair> packed(kernel->packed_size(pairs, n));
    std::vector<float> c(m * n, std::numeric_limits<float>::quiet_NaN());
    kernel->pack(packed.data(), false, pairs, n, b_pairs.data(), n, n, 0, n);
    kernel->multiply({.m = m,
                      .k = pairs,
                      .end = n,
                      .a = a_pairs.data(),
                      .lda = pairs,
                      .b = packed.data(),
                      .packed_k = pairs,
                      .packed_n = n,
                      .beta = 0,
                      .c = c.data(),
                      .ldc = n});
    if (first.empty()) first = c;
    CHECK_MESSAGE(c == first, kernel->name, " rounds otherwise");
  }
}

TEST_CASE_TEMPLATE("gemm_serial multiplies by a window of a packed matrix", T, float, double) {
  const int64_t m = 11, k = 1100, n = 3 * kWindow, columns = n - 5;  // the last five are zeros
  const std::vector<T> a = numbers<T>(m * k, 1), b = numbers<T>(k * n, 2);
  const PackedMatrix<T> packed(k, n);
  packed.pack(Trans::no, b.data(), n, columns);
  const std::vector<T> bias = numbers<T>(n, 3);
  for (const Window& w : {Window{0, k, 0, n}, Window{500, 30, kWindow, 70}, Window{3, 1050, 2 * kWindow, 61},
                          Window{0, 600, 16, 90}, Window{7, 90, kWindow + 48, 20}, Window{512, 0, 0, 9}}) {
    std::vector<double> wanted(m * w.columns);
    for (int64_t i = 0; i < m; ++i)
      for (int64_t j = 0; j < w.columns; ++j) {
        wanted[i * w.columns + j] = 1 + bias[j];
        for (int64_t l = 0; l < w.rows; ++l)
          if (w.column + j < columns)
            wanted[i * w.columns + j] += double(a[i * k + l]) * double(b[(w.row + l) * n + w.column + j]);
      }
    std::vector<T> c(m * w.columns, T(1));
    gemm_serial<T>(Trans::no, m, a.data(), k, packed, w, T(1), c.data(), w.columns, bias.data());
    check_product(concat("window at ", w.row, ", ", w.column), c, wanted, k);
  }
}

}  // namespace rmoe::test
