// cuBLAS and cuBLASLt, called as the vendor documents them; refused where the vendor's would misbehave.
#include "engine/cuda_emulator/tests/device.hpp"

#include <cmath>
#include <cublasLt.h>
#include <cublas_v2.h>
#include <cuda_bf16.h>
#include <doctest/doctest.h>
#include <optional>

namespace rmoe::cuda::test {
namespace {

using bf16 = __nv_bfloat16;
constexpr int kM = 33, kN = 40, kK = 48;
const float one = 1.0f, zero = 0.0f;

std::vector<bf16> numbers(int n, int seed) {
  std::vector<bf16> values(static_cast<size_t>(n));
  for (int i = 0; i < n; i++)
    values[static_cast<size_t>(i)] =
        __float2bfloat16(static_cast<float>((i * 37 + seed * 11) % 41 - 20) / 10.0f);
  return values;
}

float dot(const std::vector<bf16>& a, const std::vector<bf16>& b, int row, int column) {
  double sum = 0.0;
  for (int k = 0; k < kK; k++)
    sum += static_cast<double>(__bfloat162float(a[static_cast<size_t>(row * kK + k)])) *
           __bfloat162float(b[static_cast<size_t>(column * kK + k)]);
  return static_cast<float>(sum);
}

/// C [M,N] = A [M,K] B [N,K]^T, all row by row: column-major C^T = B^T^T A^T.
struct Products {
  std::vector<bf16> host_a = numbers(kM * kK, 1), host_b = numbers(kN * kK, 2);
  Array<bf16> a{host_a}, b{host_b};
  Array<float> c{size_t{kM} * kN};
  cublasHandle_t handle;
  Products() { cublasCreate(&handle); }
  ~Products() { cublasDestroy(handle); }

  cublasStatus_t operator()(int lda, int ldb, int ldc, int rows, const void* left, const float* alpha = &one,
                            cudaDataType c_type = CUDA_R_32F,
                            cublasComputeType_t compute = CUBLAS_COMPUTE_32F) {
    return cublasGemmEx(handle, CUBLAS_OP_T, CUBLAS_OP_N, kN, rows, kK, alpha, b, CUDA_R_16BF, ldb, left,
                        CUDA_R_16BF, lda, &zero, c, c_type, ldc, compute, CUBLAS_GEMM_DEFAULT);
  }
};

}  // namespace

TEST_CASE("cuBLAS multiplies bf16 into fp32") {
  Products p;
  REQUIRE(p(kK, kK, kN, kM, p.a) == CUBLAS_STATUS_SUCCESS);
  const auto c = p.c.values();
  for (int i = 0; i < kM; i++)
    for (int j = 0; j < kN; j++)
      CHECK(c[static_cast<size_t>(i * kN + j)] ==
            doctest::Approx(dot(p.host_a, p.host_b, i, j)).epsilon(1e-5));
}

TEST_CASE("cuBLAS refuses wrong leading dimensions, pointers, types and sizes") {
  Products p;
  CHECK(p(kK - 1, kK, kN, kM, p.a) == CUBLAS_STATUS_INVALID_VALUE);
  CHECK(has(emulator::last_message(), "leading dimension"));
  CHECK(p(kK, kK, kN - 1, kM, p.a) == CUBLAS_STATUS_INVALID_VALUE);
  CHECK(p(kK, kK, kN, kM + 1, p.a) == CUBLAS_STATUS_EXECUTION_FAILED);
  CHECK(has(emulator::last_message(), "reaches outside its allocation"));
  CHECK(p(kK, kK, kN, kM, p.host_a.data()) == CUBLAS_STATUS_EXECUTION_FAILED);
  CHECK(has(emulator::last_message(), "a host pointer"));
  CHECK(p(kK, kK, kN, kM - 1, reinterpret_cast<char*>(static_cast<bf16*>(p.a)) + 1) ==
        CUBLAS_STATUS_INVALID_VALUE);
  CHECK(has(emulator::last_message(), "misaligned"));
  CHECK(p(kK, kK, kN, kM, p.a, p.c) == CUBLAS_STATUS_INVALID_VALUE);  // alpha on the device
  CHECK(p(kK, kK, kN, kM, p.a, &one, CUDA_R_16F) == CUBLAS_STATUS_NOT_SUPPORTED);
  CHECK(p(kK, kK, kN, kM, p.a, &one, CUDA_R_32F, CUBLAS_COMPUTE_16F) == CUBLAS_STATUS_NOT_SUPPORTED);
  CHECK(p(kK, kK, kN, kM, p.a) == CUBLAS_STATUS_SUCCESS);
}

TEST_CASE("batched products keep their distances, and may not overlap") {
  Products p;
  Array<float> c(size_t{2} * kN * 4);
  const auto batched = [&](long long stride_c) {
    return cublasGemmStridedBatchedEx(p.handle, CUBLAS_OP_T, CUBLAS_OP_N, kN, 4, kK, &one, p.b, CUDA_R_16BF,
                                      kK, 0, p.a, CUDA_R_16BF, kK, 4 * kK, &zero, c, CUDA_R_32F, kN, stride_c,
                                      2, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT);
  };
  REQUIRE(batched(4 * kN) == CUBLAS_STATUS_SUCCESS);
  const auto got = c.values();
  for (int i = 0; i < 8; i++)
    for (int j = 0; j < kN; j++)
      CHECK(got[static_cast<size_t>(i * kN + j)] ==
            doctest::Approx(dot(p.host_a, p.host_b, i, j)).epsilon(1e-5));
  CHECK(batched(4 * kN - 1) == CUBLAS_STATUS_INVALID_VALUE);
}

TEST_CASE("grouped products take their pointers from the device and one type") {
  Products p;
  const int rows[] = {5, 0, 17}, starts[] = {0, 5, 5};
  std::vector<const void*> left, right;
  std::vector<void*> out;
  Array<bf16> c(size_t{22} * kN);
  for (int start : starts) {
    left.push_back(static_cast<bf16*>(p.b));
    right.push_back(static_cast<bf16*>(p.a) + start * kK);
    out.push_back(static_cast<bf16*>(c) + start * kN);
  }
  Array<const void*> device_left(left), device_right(right);
  Array<void*> device_out(out);
  const std::vector<cublasOperation_t> ta(3, CUBLAS_OP_T), tb(3, CUBLAS_OP_N);
  const std::vector<int> m(3, kN), k(3, kK), ldc(3, kN), sizes(3, 1);
  const std::vector<float> alpha(3, 1.0f), beta(3, 0.0f);
  const auto grouped = [&](const void* const* pointers, cudaDataType c_type) {
    return cublasGemmGroupedBatchedEx(p.handle, ta.data(), tb.data(), m.data(), rows, k.data(), alpha.data(),
                                      pointers, CUDA_R_16BF, k.data(), device_right, CUDA_R_16BF, k.data(),
                                      beta.data(), device_out, c_type, ldc.data(), 3, sizes.data(),
                                      CUBLAS_COMPUTE_32F);
  };
  REQUIRE(grouped(device_left, CUDA_R_16BF) == CUBLAS_STATUS_SUCCESS);
  const auto got = c.values();
  for (int i = 0; i < 22; i++)
    for (int j = 0; j < kN; j++)
      CHECK(__bfloat162float(got[static_cast<size_t>(i * kN + j)]) ==
            doctest::Approx(dot(p.host_a, p.host_b, i, j)).epsilon(0.01));
  CHECK(grouped(left.data(), CUDA_R_16BF) == CUBLAS_STATUS_INVALID_VALUE);
  CHECK(grouped(device_left, CUDA_R_32F) == CUBLAS_STATUS_NOT_SUPPORTED);
}

namespace {

/// A cuBLASLt product of the same shapes with bias and GELU.
struct LtProduct {
  Products p;
  std::vector<bf16> host_bias = numbers(kN, 5);
  Array<bf16> bias{host_bias}, c{size_t{kM} * kN};
  Array<char> workspace{size_t{1} << 20};
  cublasLtHandle_t lt;
  cublasLtMatmulDesc_t description;
  cublasLtMatrixLayout_t la, lb, lc;
  cublasLtMatmulPreference_t preference;

  LtProduct() {
    const int32_t yes = CUBLAS_OP_T;
    const cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_GELU_BIAS;
    const bf16* bias_pointer = bias;
    const size_t bytes = size_t{1} << 20;
    cublasLtCreate(&lt);
    cublasLtMatmulDescCreate(&description, CUBLAS_COMPUTE_32F, CUDA_R_32F);
    cublasLtMatmulDescSetAttribute(description, CUBLASLT_MATMUL_DESC_TRANSA, &yes, sizeof yes);
    cublasLtMatmulDescSetAttribute(description, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue);
    cublasLtMatmulDescSetAttribute(description, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias_pointer,
                                   sizeof bias_pointer);
    cublasLtMatrixLayoutCreate(&la, CUDA_R_16BF, kK, kN, kK);
    cublasLtMatrixLayoutCreate(&lb, CUDA_R_16BF, kK, kM, kK);
    cublasLtMatrixLayoutCreate(&lc, CUDA_R_16BF, kN, kM, kN);
    cublasLtMatmulPreferenceCreate(&preference);
    cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &bytes,
                                         sizeof bytes);
  }
  ~LtProduct() {
    cublasLtMatmulPreferenceDestroy(preference);
    for (auto layout : {la, lb, lc}) cublasLtMatrixLayoutDestroy(layout);
    cublasLtMatmulDescDestroy(description);
    cublasLtDestroy(lt);
  }

  cublasLtMatmulAlgo_t algorithm() {
    cublasLtMatmulHeuristicResult_t result;
    int found = 0;
    cublasLtMatmulAlgoGetHeuristic(lt, description, la, lb, lc, lc, preference, 1, &result, &found);
    REQUIRE(found == 1);
    return result.algo;
  }
  cublasStatus_t run(const cublasLtMatmulAlgo_t& algorithm, size_t workspace_bytes, int shift = 0) {
    return cublasLtMatmul(lt, description, &one, p.b, la, static_cast<bf16*>(p.a) + shift, lb, &zero, c, lc,
                          c, lc, &algorithm, workspace, workspace_bytes, nullptr);
  }
};

}  // namespace

TEST_CASE("cuBLASLt adds a bias and applies GELU") {
  LtProduct product;
  REQUIRE(product.run(product.algorithm(), 1 << 20) == CUBLAS_STATUS_SUCCESS);
  const auto c = product.c.values();
  for (int i = 0; i < kM; i++)
    for (int j = 0; j < kN; j++) {
      const float x = dot(product.p.host_a, product.p.host_b, i, j) +
                      __bfloat162float(product.host_bias[static_cast<size_t>(j)]);
      const float want = 0.5f * x * (1.0f + std::tanh(0.7978845608f * (x + 0.044715f * x * x * x)));
      CHECK(std::abs(__bfloat162float(c[static_cast<size_t>(i * kN + j)]) - want) <=
            0.005f * (1.0f + std::abs(want)));
    }
}

TEST_CASE("a cuBLASLt algorithm fits its problem, workspace and alignment only") {
  LtProduct product;
  const auto algorithm = product.algorithm();
  CHECK(product.run(algorithm, 1 << 10) == CUBLAS_STATUS_INVALID_VALUE);
  CHECK(has(emulator::last_message(), "bytes of workspace"));
  CHECK(product.run(algorithm, 1 << 20, 8) == CUBLAS_STATUS_NOT_SUPPORTED);
  CHECK(has(emulator::last_message(), "not a multiple of 256"));
  const cublasLtEpilogue_t other = CUBLASLT_EPILOGUE_RELU_BIAS;
  cublasLtMatmulDescSetAttribute(product.description, CUBLASLT_MATMUL_DESC_EPILOGUE, &other, sizeof other);
  CHECK(product.run(algorithm, 1 << 20) == CUBLAS_STATUS_NOT_SUPPORTED);
  CHECK(has(emulator::last_message(), "another problem"));
  CHECK(product.run(product.algorithm(), 1 << 20) == CUBLAS_STATUS_SUCCESS);
  const int64_t short_ld = kN - 1;
  cublasLtMatrixLayoutDestroy(product.lc);
  cublasLtMatrixLayoutCreate(&product.lc, CUDA_R_16BF, kN, kM, short_ld);
  CHECK(product.run(product.algorithm(), 1 << 20) == CUBLAS_STATUS_INVALID_VALUE);
}

TEST_CASE("checker: a product notices operands nobody wrote") {
  Products p;
  Array<bf16> unwritten(size_t{kM} * kK);
  CHECK(has(error_of([&] { p(kK, kK, kN, kM, unwritten); }), "memory never written"));
}

}  // namespace rmoe::cuda::test
