#include "engine/gemm.hpp"

#include "engine/gemm_kernel.hpp"
#include "engine/gemm_pairs.hpp"
#include "engine/parallel.hpp"
#include "engine/scratch.hpp"

#include <algorithm>
#include <vector>

namespace rmoe {
namespace gemm_kernel {
namespace {

/// The kernels whose instruction sets this processor has.
template <class T>
std::vector<const Kernel<T>*> find_available() {
  std::vector<const Kernel<T>*> kernels;
#if defined(__x86_64__)
  if constexpr (std::is_same_v<T, Pair>)
    if (avx512_bf16() && __builtin_cpu_supports("avx512bf16")) kernels.push_back(avx512_bf16());
  const bool fma = __builtin_cpu_supports("fma");
  if (avx512<T>() && fma && __builtin_cpu_supports("avx512f")) kernels.push_back(avx512<T>());
  if (avx2<T>() && fma && __builtin_cpu_supports("avx2")) kernels.push_back(avx2<T>());
#endif
  kernels.push_back(portable<T>());
  return kernels;
}

}  // namespace

template <class T>
std::span<const Kernel<T>* const> available() {
  static const std::vector<const Kernel<T>*> kernels = find_available<T>();
  return kernels;
}
template std::span<const Kernel<float>* const> available<float>();
template std::span<const Kernel<double>* const> available<double>();
template std::span<const Kernel<Pair>* const> available<Pair>();

}  // namespace gemm_kernel

namespace {

using gemm_kernel::kTileRows;
using gemm_kernel::Pair;
using gemm_kernel::Product;
using gemm_kernel::sum_t;

template <class T>
const gemm_kernel::Kernel<T>& kernel() {
  static const gemm_kernel::Kernel<T>& best = *gemm_kernel::available<T>()[0];
  return best;
}

constexpr int64_t kAligned = 16;  // numbers: a vector of any kind

int64_t pieces(int64_t size, int64_t piece) { return (size + piece - 1) / piece; }
int64_t whole(int64_t size, int64_t unit) { return pieces(size, unit) * unit; }

/// A product whose B is yet to be packed.
template <class T>
struct Job {
  Product<T> product;
  Trans tb;
  const T* b;
  int64_t ldb;
};

/// A part of a job: its rows and columns [begin, end).
struct Part {
  int64_t job, row = 0, rows = 0, begin, end;
};

struct Tile {
  int64_t rows, columns;
};

/// Every task reads its columns of B from the cache that all share, and its rows of A; both sides are kept
/// long as far as there are tasks enough that nobody waits long for the last, and tasks are even. Here the
/// number of threads may matter: the bits of a product do not depend on how it is cut.
Tile choose_tile(int64_t m, int64_t n, int64_t jobs) {
  constexpr int64_t kMostRows = 120, kLeastColumns = 128;
  const int64_t threads = thread_count(), wanted = threads == 1 ? 1 : 4 * threads;
  int64_t down = pieces(m, kMostRows), across = 1;
  while (down * across * jobs < wanted) {
    const int64_t rows = pieces(m, down);
    const bool wide = n / across >= 2 * kLeastColumns;
    if (rows > kMostRows / 2 || (!wide && rows > 2 * kTileRows))
      down *= 2;
    else if (wide)
      across *= 2;
    else
      break;
  }
  if (jobs == 1 && across == 1) down = whole(down, threads);
  return {whole(pieces(m, down), kTileRows), whole(pieces(n, across), kLeastColumns / 2)};
}

/// Cuts columns [0, n) into pieces of at least `wanted`, whole panels each: f(begin, end).
template <class T, class F>
void for_columns(int64_t n, int64_t wanted, F&& f) {
  for (int64_t begin = 0, end = 0; begin < n; begin = end) {
    while (end < n && end - begin < wanted) end = kernel<T>().next_panel(n, end);
    f(begin, std::min(end, n));
  }
}

template <class T>
void multiply_part(Product<T> p, const Part& part) {
  p.a += p.transposed ? part.row : part.row * p.lda;
  p.c += part.row * p.ldc + part.begin;
  if (p.bias) p.bias += part.begin;
  p.m = part.rows;
  p.begin = part.begin;
  p.end = part.end;
  kernel<T>().multiply(p);
}

/// Depth [k0, k0 + depth) of a product.
template <class T>
Job<T> slice(Job<T> job, int64_t k0, int64_t depth) {
  Product<T>& p = job.product;
  p.k = p.packed_k = std::clamp<int64_t>(p.k - k0, 0, depth);
  if (k0 == 0) return job;
  p.a += p.transposed ? k0 * p.lda : k0;
  job.b += job.tb == Trans::yes ? k0 : k0 * job.ldb;
  p.beta = 1;
  p.bias = nullptr;
  return job;
}

/// May B of n columns stay as it is? Rows of whole vectors, unless they are so far apart that a few sets of
/// the cache would have to hold them all. Where rows are added up once (the gradient of a weight), packing
/// would cost a tenth.
template <class T>
bool in_place(Trans tb, int64_t n, int64_t ldb) {
  constexpr int64_t kSets = 1024;  // bytes
  return tb == Trans::no && n % kernel<T>().lanes == 0 && ldb * int64_t(sizeof(T)) % kSets != 0;
}
template <class T>
bool in_place(const Job<T>& job) {
  return in_place<T>(job.tb, job.product.end, job.ldb);
}

/// Packs every B that needs it, then multiplies.
template <class T>
void run_slice(std::vector<Job<T>>& jobs) {
  constexpr int64_t kPackColumns = 64;
  int64_t size = 0;
  std::vector<int64_t> starts;
  std::vector<Part> packs, parts;
  for (size_t i = 0; i < jobs.size(); ++i) {
    const Product<T>& p = jobs[i].product;
    starts.push_back(size);
    if (p.m == 0 || p.end == 0 || (p.k == 0 && p.beta == 1 && !p.bias)) continue;
    if (!in_place(jobs[i])) {
      size += kernel<T>().packed_size(p.k, p.end);
      for_columns<T>(p.end, kPackColumns, [&](int64_t begin, int64_t end) {
        packs.push_back({.job = int64_t(i), .begin = begin, .end = end});
      });
    }
    const Tile tile = choose_tile(p.m, p.end, int64_t(jobs.size()));
    for (int64_t row = 0; row < p.m; row += tile.rows)
      for_columns<T>(p.end, tile.columns, [&](int64_t begin, int64_t end) {
        parts.push_back({int64_t(i), row, std::min(tile.rows, p.m - row), begin, end});
      });
  }
  const Scratch<T> packed(size);
  for (size_t i = 0; i < jobs.size(); ++i) {
    Product<T>& p = jobs[i].product;
    p.ldb = in_place(jobs[i]) ? jobs[i].ldb : 0;
    p.b = p.ldb ? jobs[i].b : packed.data() + starts[i];
  }
  parallel_for(packs.size(), [&](int64_t i) {
    const Job<T>& job = jobs[packs[i].job];
    kernel<T>().pack(packed.data() + starts[packs[i].job], job.tb == Trans::yes, job.product.k,
                     job.product.packed_n, job.b, job.ldb, job.product.packed_n, packs[i].begin,
                     packs[i].end);
  });
  parallel_for(parts.size(), [&](int64_t i) { multiply_part(jobs[parts[i].job].product, parts[i]); });
}

/// A long sum runs in slices, whose packed B is read while a cache still holds it.
template <class T>
void run_slices(const std::vector<Job<T>>& jobs) {
  constexpr int64_t kSlice = 4 * gemm_kernel::kDepth<T>;
  int64_t longest = 1;
  for (const Job<T>& job : jobs) longest = std::max(longest, job.product.k);
  for (int64_t k0 = 0; k0 < longest; k0 += kSlice) {
    std::vector<Job<T>> slices;
    for (const Job<T>& job : jobs) slices.push_back(slice(job, k0, kSlice));
    run_slice(slices);
  }
}

template <class T>
Job<T> make_job(Trans ta, Trans tb, int64_t m, int64_t n, int64_t k, const T* a, int64_t lda, const T* b,
                int64_t ldb, sum_t<T> beta, sum_t<T>* c, int64_t ldc, const sum_t<T>* bias = nullptr) {
  const Product<T> product{.m = m,
                           .k = k,
                           .end = n,
                           .a = a,
                           .lda = lda,
                           .transposed = ta == Trans::yes,
                           .b = nullptr,
                           .packed_k = k,
                           .packed_n = n,
                           .beta = beta,
                           .bias = bias,
                           .c = c,
                           .ldc = ldc};
  return {product, tb, b, ldb};
}

/// The stored matrix of a factor as pairs; `along_rows`: k runs along its rows.
gemm_kernel::Rounding rounding(const float* x, int64_t ld, int64_t k, int64_t other, bool along_rows) {
  return {nullptr, x, ld, along_rows ? other : k, along_rows ? k : other, along_rows};
}

/// The same products of factors rounded to bf16.
void run_rounded(const std::vector<Job<float>>& jobs) {
  constexpr int64_t kRows = 16;
  std::vector<gemm_kernel::Rounding> factors;  // of every job its A and its B
  int64_t size = 0;
  for (const Job<float>& job : jobs) {
    const Product<float>& p = job.product;
    factors.push_back(rounding(p.a, p.lda, p.k, p.m, !p.transposed));
    factors.push_back(rounding(job.b, job.ldb, p.k, p.end, job.tb == Trans::yes));
  }
  std::vector<Part> parts;
  for (size_t i = 0; i < factors.size(); ++i) {
    size += whole(factors[i].size(), kAligned);
    for (int64_t row = 0; row < factors[i].paired_rows(); row += kRows)
      parts.push_back(
          {.job = int64_t(i), .begin = row, .end = std::min(row + kRows, factors[i].paired_rows())});
  }
  const Scratch<Pair> pairs(size);
  Pair* next = pairs.data();
  for (gemm_kernel::Rounding& factor : factors) {
    factor.to = next;
    next += whole(factor.size(), kAligned);
  }
  parallel_for(parts.size(), [&](int64_t i) { factors[parts[i].job].run(parts[i].begin, parts[i].end); });
  std::vector<Job<Pair>> paired;
  for (size_t i = 0; i < jobs.size(); ++i) {
    const Product<float>& p = jobs[i].product;
    const gemm_kernel::Rounding &a = factors[2 * i], &b = factors[2 * i + 1];
    paired.push_back(make_job<Pair>(p.transposed ? Trans::yes : Trans::no, jobs[i].tb, p.m, p.end,
                                    pieces(p.k, 2), a.to, a.paired_columns(), b.to, b.paired_columns(),
                                    p.beta, p.c, p.ldc, p.bias));
  }
  run_slices(paired);
}

thread_local bool rounds_to_bf16 = false;

template <class T>
void run(const std::vector<Job<T>>& jobs) {
  if constexpr (std::is_same_v<T, float>)
    if (rounds_to_bf16) return run_rounded(jobs);
  run_slices(jobs);
}

}  // namespace

Bf16Products::Bf16Products(bool on) : before_(rounds_to_bf16) { rounds_to_bf16 = on; }
Bf16Products::~Bf16Products() { rounds_to_bf16 = before_; }
bool Bf16Products::on() { return rounds_to_bf16; }

template <class T>
PackedMatrix<T>::PackedMatrix(int64_t k, int64_t n) : k_(k), n_(n), data_(kernel<T>().packed_size(k, n)) {}

template <class T>
void PackedMatrix<T>::pack(Trans tb, const T* b, int64_t ldb, int64_t columns) const {
  kernel<T>().pack(data_.data(), tb == Trans::yes, k_, n_, b, ldb, columns, 0, n_);
}

template <class T>
void gemm_serial(Trans ta, int64_t m, const T* a, int64_t lda, const PackedMatrix<T>& b, const Window& w,
                 T beta, T* c, int64_t ldc, const T* bias) {
  if (m == 0 || w.columns == 0) return;
  kernel<T>().multiply({.m = m,
                        .k = w.rows,
                        .first = w.row,
                        .begin = w.column,
                        .end = w.column + w.columns,
                        .a = a,
                        .lda = lda,
                        .transposed = ta == Trans::yes,
                        .b = b.data(),
                        .packed_k = b.k(),
                        .packed_n = b.n(),
                        .beta = beta,
                        .bias = bias,
                        .c = c,
                        .ldc = ldc});
}

template <class T>
void gemm_serial(Trans ta, Trans tb, int64_t m, int64_t n, int64_t k, const T* a, int64_t lda, const T* b,
                 int64_t ldb, T beta, T* c, int64_t ldc) {
  if (m == 0 || n == 0) return;
  if (in_place<T>(tb, n, ldb)) {
    Product<T> product = make_job(ta, tb, m, n, k, a, lda, b, ldb, beta, c, ldc).product;
    product.b = b;
    product.ldb = ldb;
    return kernel<T>().multiply(product);
  }
  const PackedMatrix<T> packed(k, n);
  packed.pack(tb, b, ldb, n);
  gemm_serial(ta, m, a, lda, packed, {0, k, 0, n}, beta, c, ldc);
}

template <class T>
void gemm_batched(int64_t batch, Trans ta, Trans tb, int64_t m, int64_t n, int64_t k, const T* a, int64_t lda,
                  int64_t stride_a, const T* b, int64_t ldb, int64_t stride_b, T beta, T* c, int64_t ldc,
                  int64_t stride_c) {
  std::vector<Job<T>> jobs;
  for (int64_t i = 0; i < batch; ++i)
    jobs.push_back(
        make_job(ta, tb, m, n, k, a + i * stride_a, lda, b + i * stride_b, ldb, beta, c + i * stride_c, ldc));
  run(jobs);
}

template <class T>
void gemm(Trans ta, Trans tb, int64_t m, int64_t n, int64_t k, const T* a, int64_t lda, const T* b,
          int64_t ldb, T beta, T* c, int64_t ldc, const T* bias) {
  run<T>({make_job(ta, tb, m, n, k, a, lda, b, ldb, beta, c, ldc, bias)});
}

template <class T>
void gemm_grouped(int64_t experts, const int32_t* offsets, Trans tb, int64_t n, int64_t k, const T* a,
                  const T* b, T beta, T* c, const T* bias) {
  std::vector<Job<T>> jobs;
  for (int64_t e = 0; e < experts; ++e)
    jobs.push_back(make_job(Trans::no, tb, offsets[e + 1] - offsets[e], n, k, a + offsets[e] * k, k,
                            b + e * n * k, tb == Trans::yes ? k : n, beta, c + offsets[e] * n, n,
                            bias ? bias + e * n : nullptr));
  run(jobs);
}

template <class T>
void gemm_grouped_reduce(int64_t experts, const int32_t* offsets, int64_t m, int64_t n, const T* a,
                         const T* b, T beta, T* c) {
  std::vector<Job<T>> jobs;
  for (int64_t e = 0; e < experts; ++e)
    jobs.push_back(make_job(Trans::yes, Trans::no, m, n, offsets[e + 1] - offsets[e], a + offsets[e] * m, m,
                            b + offsets[e] * n, n, beta, c + e * m * n, n));
  run(jobs);
}

#define RMOE_INSTANTIATE(T)                                                                                  \
  template class PackedMatrix<T>;                                                                            \
  template void gemm_serial<T>(Trans, int64_t, const T*, int64_t, const PackedMatrix<T>&, const Window&, T,  \
                               T*, int64_t, const T*);                                                       \
  template void gemm_serial<T>(Trans, Trans, int64_t, int64_t, int64_t, const T*, int64_t, const T*,         \
                               int64_t, T, T*, int64_t);                                                     \
  template void gemm<T>(Trans, Trans, int64_t, int64_t, int64_t, const T*, int64_t, const T*, int64_t, T,    \
                        T*, int64_t, const T*);                                                              \
  template void gemm_batched<T>(int64_t, Trans, Trans, int64_t, int64_t, int64_t, const T*, int64_t,         \
                                int64_t, const T*, int64_t, int64_t, T, T*, int64_t, int64_t);               \
  template void gemm_grouped<T>(int64_t, const int32_t*, Trans, int64_t, int64_t, const T*, const T*, T, T*, \
                                const T*);                                                                   \
  template void gemm_grouped_reduce<T>(int64_t, const int32_t*, int64_t, int64_t, const T*, const T*, T, T*);

RMOE_INSTANTIATE(float)
RMOE_INSTANTIATE(double)

}  // namespace rmoe
