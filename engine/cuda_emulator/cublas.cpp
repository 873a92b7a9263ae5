// The cuBLAS calls we use, behind the vendor's header.
#include "engine/cuda_emulator/device.hpp"
#include "engine/cuda_emulator/emulator.hpp"
#include "engine/cuda_emulator/errors.hpp"
#include "engine/cuda_emulator/heap.hpp"
#include "engine/cuda_emulator/product.hpp"

#include <numeric>
#include <vector>

namespace rmoe::emulator {
namespace {

struct Handle {
  cudaStream_t stream = nullptr;
};

Handle& handle_of(cublasHandle_t handle) { return *reinterpret_cast<Handle*>(handle); }

cublasStatus_t enqueue(cublasHandle_t handle, std::vector<Product> products) {
  if (!current_device().knows(handle_of(handle).stream))
    return refuse(CUBLAS_STATUS_EXECUTION_FAILED, "the handle's stream does not exist on this device");
  current_device().enqueue(handle_of(handle).stream, [products = std::move(products)] {
    for (const Product& product : products) run_product(product);
  });
  return CUBLAS_STATUS_SUCCESS;
}

Product make_product(cublasOperation_t ta, cublasOperation_t tb, int64_t m, int64_t n, int64_t k, float alpha,
                     const void* a, cudaDataType a_type, int64_t lda, const void* b, cudaDataType b_type,
                     int64_t ldb, float beta, void* c, cudaDataType c_type, int64_t ldc) {
  Product p;
  p.transpose_a = ta != CUBLAS_OP_N;
  p.transpose_b = tb != CUBLAS_OP_N;
  p.m = m, p.n = n, p.k = k;
  p.alpha = alpha, p.beta = beta;
  p.a = {a, a_type, p.transpose_a ? k : m, p.transpose_a ? m : k, lda};
  p.b = {b, b_type, p.transpose_b ? n : k, p.transpose_b ? k : n, ldb};
  p.c = p.d = {c, c_type, m, n, ldc};
  return p;
}

const void* moved(const void* pointer, long long elements, cudaDataType type) {
  return static_cast<const char*>(pointer) + elements * element_bytes(type);
}

/// The pointer arrays of grouped products lie on the device.
template <class T>
bool array_on_device(const T* array, int count) {
  return count == 0 || in_device_memory(array, static_cast<size_t>(count) * sizeof(T));
}

}  // namespace
}  // namespace rmoe::emulator

using namespace rmoe::emulator;

extern "C" {

cublasStatus_t cublasCreate_v2(cublasHandle_t* handle) {
  *handle = reinterpret_cast<cublasHandle_t>(new Handle());
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasDestroy_v2(cublasHandle_t handle) {
  delete &handle_of(handle);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasSetStream_v2(cublasHandle_t handle, cudaStream_t stream) {
  handle_of(handle).stream = stream;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasSetWorkspace_v2(cublasHandle_t, void* workspace, size_t bytes) {
  if (reinterpret_cast<uintptr_t>(workspace) % 256)
    return refuse(CUBLAS_STATUS_INVALID_VALUE, "cublasSetWorkspace: the workspace is not a multiple of 256");
  if (bytes && !in_device_memory(workspace, bytes))
    return refuse(CUBLAS_STATUS_INVALID_VALUE, "cublasSetWorkspace: " + describe(workspace));
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasSetMathMode(cublasHandle_t, cublasMath_t) { return CUBLAS_STATUS_SUCCESS; }
const char* cublasGetStatusName(cublasStatus_t status) {
  return status == CUBLAS_STATUS_SUCCESS ? "CUBLAS_STATUS_SUCCESS" : "a cuBLAS error";
}
const char* cublasGetStatusString(cublasStatus_t status) {
  return status == CUBLAS_STATUS_SUCCESS ? "success" : last_message().c_str();
}

cublasStatus_t cublasGemmStridedBatchedEx(cublasHandle_t handle, cublasOperation_t ta, cublasOperation_t tb,
                                          int m, int n, int k, const void* alpha, const void* a,
                                          cudaDataType a_type, int lda, long long stride_a, const void* b,
                                          cudaDataType b_type, int ldb, long long stride_b, const void* beta,
                                          void* c, cudaDataType c_type, int ldc, long long stride_c,
                                          int batch, cublasComputeType_t compute, cublasGemmAlgo_t) {
  if (is_device(alpha) || is_device(beta))
    return refuse(CUBLAS_STATUS_INVALID_VALUE, "cublasGemm: alpha and beta must be host pointers");
  if (batch > 1 && stride_c < (n > 0 ? static_cast<long long>(ldc) * (n - 1) + m : 0))
    return refuse(CUBLAS_STATUS_INVALID_VALUE, "cublasGemmStridedBatchedEx: the results overlap");
  std::vector<Product> products;
  for (int i = 0; i < batch; i++) {
    void* result = const_cast<void*>(moved(c, i * stride_c, c_type));
    products.push_back(make_product(
        ta, tb, m, n, k, *static_cast<const float*>(alpha), moved(a, i * stride_a, a_type), a_type, lda,
        moved(b, i * stride_b, b_type), b_type, ldb, *static_cast<const float*>(beta), result, c_type, ldc));
    if (const auto status = check_product(products.back(), compute, "cublasGemm")) return status;
  }
  return enqueue(handle, std::move(products));
}

cublasStatus_t cublasGemmEx(cublasHandle_t handle, cublasOperation_t ta, cublasOperation_t tb, int m, int n,
                            int k, const void* alpha, const void* a, cudaDataType a_type, int lda,
                            const void* b, cudaDataType b_type, int ldb, const void* beta, void* c,
                            cudaDataType c_type, int ldc, cublasComputeType_t compute,
                            cublasGemmAlgo_t algorithm) {
  return cublasGemmStridedBatchedEx(handle, ta, tb, m, n, k, alpha, a, a_type, lda, 0, b, b_type, ldb, 0,
                                    beta, c, c_type, ldc, 0, 1, compute, algorithm);
}

cublasStatus_t cublasGemmGroupedBatchedEx(cublasHandle_t handle, const cublasOperation_t ta[],
                                          const cublasOperation_t tb[], const int m[], const int n[],
                                          const int k[], const void* alpha, const void* const a[],
                                          cudaDataType a_type, const int lda[], const void* const b[],
                                          cudaDataType b_type, const int ldb[], const void* beta,
                                          void* const c[], cudaDataType c_type, const int ldc[], int groups,
                                          const int sizes[], cublasComputeType_t compute) {
  constexpr char kCall[] = "cublasGemmGroupedBatchedEx";
  if (a_type != b_type || a_type != c_type)
    return refuse(CUBLAS_STATUS_NOT_SUPPORTED, std::string(kCall) + ": A, B and C must have one type");
  const int count = std::accumulate(sizes, sizes + groups, 0);
  if (!array_on_device(a, count) || !array_on_device(b, count) || !array_on_device(c, count))
    return refuse(CUBLAS_STATUS_INVALID_VALUE,
                  std::string(kCall) + ": the arrays of pointers must lie on the device");
  // The real one reads the pointers when the stream gets there; earlier work may still have to write them.
  current_device().wait(current_device().now(handle_of(handle).stream));
  std::vector<Product> products;
  for (int g = 0, i = 0; g < groups; g++)
    for (int member = 0; member < sizes[g]; member++, i++) {
      products.push_back(make_product(ta[g], tb[g], m[g], n[g], k[g], static_cast<const float*>(alpha)[g],
                                      a[i], a_type, lda[g], b[i], b_type, ldb[g],
                                      static_cast<const float*>(beta)[g], c[i], c_type, ldc[g]));
      if (const auto status = check_product(products.back(), compute, kCall)) return status;
    }
  return enqueue(handle, std::move(products));
}

}  // extern "C"
