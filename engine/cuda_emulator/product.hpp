// The matrix product behind the emulated cuBLAS and cuBLASLt: column-major D = epilogue(alpha op(A) op(B) +
// beta C).
#pragma once

#include <cstdint>
#include <cublasLt.h>
#include <cublas_v2.h>
#include <string>

namespace rmoe::emulator {

/// As stored: column j starts at element j * ld.
struct Matrix {
  const void* data = nullptr;
  cudaDataType type = CUDA_R_32F;
  int64_t rows = 0, columns = 0, ld = 0;
};

struct Epilogue {
  cublasLtEpilogue_t kind = CUBLASLT_EPILOGUE_DEFAULT;
  const void* bias = nullptr;  // [rows of D]
  cudaDataType bias_type = CUDA_R_16BF;
  void* aux = nullptr;  // what comes before GELU, of D's type
  int64_t aux_ld = 0;
};

struct Product {
  bool transpose_a = false, transpose_b = false;
  int64_t m = 0, n = 0, k = 0;
  float alpha = 1.0f, beta = 0.0f;
  Matrix a, b, c, d;
  Epilogue epilogue;
};

int64_t element_bytes(cudaDataType type);  // 0: a type that is not emulated

/// Shapes, leading dimensions, types, alignment, and that every matrix lies inside its allocation. Explains
/// what is wrong, if anything is.
cublasStatus_t check_product(const Product& product, cublasComputeType_t compute, const char* call);

/// Throws KernelError if memory has gone or was never written.
void run_product(const Product& product);

cublasStatus_t refuse(cublasStatus_t status, const std::string& message);

}  // namespace rmoe::emulator
