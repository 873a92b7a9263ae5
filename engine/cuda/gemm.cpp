#include "engine/cuda/gemm.hpp"

#include "engine/cuda/backend.hpp"
#include "engine/cuda/context.hpp"
#include "engine/error.hpp"
#include "engine/rehearsal.hpp"

#include <array>
#include <map>
#include <memory>

namespace rmoe::cuda {
namespace {

void check(cublasStatus_t status, const char* what) {
  RMOE_CHECK(status == CUBLAS_STATUS_SUCCESS, "cuda: cuBLASLt, ", what, ": ",
             cublasLtGetStatusString(status));
}

template <class T>
constexpr cudaDataType kType = std::is_same_v<T, float> ? CUDA_R_32F : CUDA_R_16BF;

/// One product as cuBLASLt sees it: column-major, so C^T = op(B)^T op(A)^T.
struct Problem {
  cudaDataType in, out;
  cublasOperation_t left, right;  // of B and A
  int64_t rows, columns, depth;   // n, m, k
  int64_t ld_left, ld_right, ld_out;
  int64_t batch, stride_left, stride_right, stride_out;
  uint32_t alignment;  // of the least aligned pointer
  bool adds;           // beta is not 0
  bool bias;

  auto operator<=>(const Problem&) const = default;
};

template <class Handle, cublasStatus_t (*destroy)(Handle)>
struct Destroy {
  using pointer = Handle;
  void operator()(Handle handle) const { destroy(handle); }
};
template <class Handle, cublasStatus_t (*destroy)(Handle)>
using Owned = std::unique_ptr<Handle, Destroy<Handle, destroy>>;

using Layout = Owned<cublasLtMatrixLayout_t, cublasLtMatrixLayoutDestroy>;
using Operation = Owned<cublasLtMatmulDesc_t, cublasLtMatmulDescDestroy>;
using Preference = Owned<cublasLtMatmulPreference_t, cublasLtMatmulPreferenceDestroy>;

Layout make_layout(cudaDataType type, int64_t rows, int64_t columns, int64_t ld, int64_t batch,
                   int64_t stride) {
  cublasLtMatrixLayout_t handle = nullptr;
  check(cublasLtMatrixLayoutCreate(&handle, type, uint64_t(rows), uint64_t(columns), ld), "layout");
  Layout layout(handle);
  if (batch > 1) {
    const int32_t count = int32_t(batch);
    check(cublasLtMatrixLayoutSetAttribute(handle, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count, sizeof count),
          "batch");
    check(cublasLtMatrixLayoutSetAttribute(handle, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &stride,
                                           sizeof stride),
          "stride");
  }
  return layout;
}

/// A problem with its descriptions and the algorithm chosen for it.
struct Plan {
  Operation operation;
  Layout left, right, out;
  cublasLtMatmulAlgo_t algorithm;
};

Operation make_operation(const Problem& p) {
  cublasLtMatmulDesc_t handle = nullptr;
  check(cublasLtMatmulDescCreate(&handle, CUBLAS_COMPUTE_32F, CUDA_R_32F), "operation");
  Operation operation(handle);
  check(cublasLtMatmulDescSetAttribute(handle, CUBLASLT_MATMUL_DESC_TRANSA, &p.left, sizeof p.left), "op(A)");
  check(cublasLtMatmulDescSetAttribute(handle, CUBLASLT_MATMUL_DESC_TRANSB, &p.right, sizeof p.right),
        "op(B)");
  const cublasLtEpilogue_t epilogue = p.bias ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT;
  check(cublasLtMatmulDescSetAttribute(handle, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue),
        "epilogue");
  if (p.bias)
    check(cublasLtMatmulDescSetAttribute(handle, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, &p.out, sizeof p.out),
          "type of the bias");
  return operation;
}

Preference make_preference(const Problem& p) {
  cublasLtMatmulPreference_t handle = nullptr;
  check(cublasLtMatmulPreferenceCreate(&handle), "preference");
  Preference preference(handle);
  const uint64_t bytes = workspace().bytes;
  check(cublasLtMatmulPreferenceSetAttribute(handle, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &bytes,
                                             sizeof bytes),
        "workspace");
  for (const auto attribute :
       {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES})
    check(cublasLtMatmulPreferenceSetAttribute(handle, attribute, &p.alignment, sizeof p.alignment),
          "alignment");
  return preference;
}

Plan make_plan(const Problem& p) {
  const bool left_as_is = p.left == CUBLAS_OP_N, right_as_is = p.right == CUBLAS_OP_N;
  Plan plan{make_operation(p),
            make_layout(p.in, left_as_is ? p.rows : p.depth, left_as_is ? p.depth : p.rows, p.ld_left,
                        p.batch, p.stride_left),
            make_layout(p.in, right_as_is ? p.depth : p.columns, right_as_is ? p.columns : p.depth,
                        p.ld_right, p.batch, p.stride_right),
            make_layout(p.out, p.rows, p.columns, p.ld_out, p.batch, p.stride_out),
            {}};
  const Preference preference = make_preference(p);
  cublasLtMatmulHeuristicResult_t found{};
  int count = 0;
  check(cublasLtMatmulAlgoGetHeuristic(lt_handle(), plan.operation.get(), plan.left.get(), plan.right.get(),
                                       plan.out.get(), plan.out.get(), preference.get(), 1, &found, &count),
        "heuristic");
  RMOE_CHECK(count > 0, "cuda: cuBLASLt has no algorithm for a product of ", p.rows, " x ", p.columns, " x ",
             p.depth);
  plan.algorithm = found.algo;
  return plan;
}

const Plan& plan_of(const Problem& problem) {
  static auto& plans = *new std::map<Problem, Plan>;  // outlives every tensor in static storage
  const auto known = plans.find(problem);
  return known != plans.end() ? known->second : plans.emplace(problem, make_plan(problem)).first->second;
}

/// The largest power of two, at most 256, that all addresses are multiples of.
uint32_t alignment_of(std::initializer_list<const void*> pointers) {
  uintptr_t bits = 256;
  for (const void* pointer : pointers) bits |= reinterpret_cast<uintptr_t>(pointer);
  return uint32_t(bits & -bits);
}

/// What is left of C where the product is a sum of nothing.
template <class Out>
void clear_unless_kept(int64_t batch, int64_t m, int64_t n, double beta, Out* c, int64_t ldc,
                       int64_t stride) {
  RMOE_CHECK(beta == 0 || beta == 1, "cuda: beta ", beta, " of a product over nothing, wanted 0 or 1");
  if (beta == 1) return;
  const int64_t rows = ldc == n ? 1 : m;
  for (int64_t i = 0; i < batch; ++i)
    for (int64_t row = 0; row < rows; ++row) fill(c + i * stride + row * ldc, dtype_of<Out>, 0, m / rows * n);
}

}  // namespace

template <class In, class Out>
void gemm_batched(int64_t batch, Trans ta, Trans tb, int64_t m, int64_t n, int64_t k, const In* a,
                  int64_t lda, int64_t stride_a, const In* b, int64_t ldb, int64_t stride_b, double beta,
                  Out* c, int64_t ldc, int64_t stride_c, const Out* bias) {
  if (batch == 0 || m == 0 || n == 0 || rehearsing()) return;
  RMOE_CHECK(k > 0 || !bias, "cuda: a bias for a product over nothing");
  if (k == 0) return clear_unless_kept(batch, m, n, beta, c, ldc, stride_c);
  const Problem problem{kType<In>,
                        kType<Out>,
                        tb == Trans::yes ? CUBLAS_OP_T : CUBLAS_OP_N,
                        ta == Trans::yes ? CUBLAS_OP_T : CUBLAS_OP_N,
                        n,
                        m,
                        k,
                        ldb,
                        lda,
                        ldc,
                        batch,
                        stride_b,
                        stride_a,
                        stride_c,
                        alignment_of({a, b, c, bias}),
                        beta != 0,
                        bias != nullptr};
  const Plan& plan = plan_of(problem);
  if (bias)
    check(cublasLtMatmulDescSetAttribute(plan.operation.get(), CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias,
                                         sizeof bias),
          "bias");
  const float one = 1, kept = float(beta);
  const Workspace space = workspace();
  check(cublasLtMatmul(lt_handle(), plan.operation.get(), &one, b, plan.left.get(), a, plan.right.get(),
                       &kept, c, plan.out.get(), c, plan.out.get(), &plan.algorithm, space.data, space.bytes,
                       stream()),
        "product");
}

template <class In, class Out>
void gemm(Trans ta, Trans tb, int64_t m, int64_t n, int64_t k, const In* a, int64_t lda, const In* b,
          int64_t ldb, double beta, Out* c, int64_t ldc, const Out* bias) {
  gemm_batched<In, Out>(1, ta, tb, m, n, k, a, lda, 0, b, ldb, 0, beta, c, ldc, 0, bias);
}

#define RMOE_INSTANTIATE(In, Out)                                                                           \
  template void gemm<In, Out>(Trans, Trans, int64_t, int64_t, int64_t, const In*, int64_t, const In*,       \
                              int64_t, double, Out*, int64_t, const Out*);                                  \
  template void gemm_batched<In, Out>(int64_t, Trans, Trans, int64_t, int64_t, int64_t, const In*, int64_t, \
                                      int64_t, const In*, int64_t, int64_t, double, Out*, int64_t, int64_t, \
                                      const Out*);

RMOE_INSTANTIATE(float, float)
RMOE_INSTANTIATE(bf16, bf16)
RMOE_INSTANTIATE(bf16, float)

}  // namespace rmoe::cuda
