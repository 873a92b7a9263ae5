#include "engine/cuda_emulator/product.hpp"

#include "engine/cuda_emulator/checker.hpp"
#include "engine/cuda_emulator/errors.hpp"
#include "engine/cuda_emulator/heap.hpp"
#include "engine/gemm.hpp"

#include <algorithm>
#include <cmath>
#include <cuda_bf16.h>
#include <vector>

namespace rmoe::emulator {
namespace {

float load(const void* data, cudaDataType type, int64_t i) {
  return type == CUDA_R_16BF ? __bfloat162float(static_cast<const __nv_bfloat16*>(data)[i])
                             : static_cast<const float*>(data)[i];
}

void store(void* data, cudaDataType type, int64_t i, float value) {
  if (type == CUDA_R_16BF)
    static_cast<__nv_bfloat16*>(data)[i] = __float2bfloat16(value);
  else
    static_cast<float*>(data)[i] = value;
}

int64_t bytes_of(const Matrix& x) {
  return x.rows && x.columns ? ((x.columns - 1) * x.ld + x.rows) * element_bytes(x.type) : 0;
}

bool inside(const Matrix& x) {
  return !bytes_of(x) || in_device_memory(x.data, static_cast<size_t>(bytes_of(x)));
}

/// "A [m x k, ld 5]": for messages.
std::string show(const char* name, const Matrix& x) {
  return std::string(name) + " [" + std::to_string(x.rows) + " x " + std::to_string(x.columns) + ", ld " +
         std::to_string(x.ld) + "]";
}

bool supported(const Product& p, cublasComputeType_t compute) {
  const bool fp32 = compute == CUBLAS_COMPUTE_32F || compute == CUBLAS_COMPUTE_32F_PEDANTIC;
  const bool tf32 = compute == CUBLAS_COMPUTE_32F_FAST_TF32;
  if (p.a.type != p.b.type || p.c.type != p.d.type || !(fp32 || tf32)) return false;
  if (p.a.type == CUDA_R_32F) return p.d.type == CUDA_R_32F;
  return p.a.type == CUDA_R_16BF && fp32 && (p.d.type == CUDA_R_16BF || p.d.type == CUDA_R_32F);
}

/// The columns of `x` without the gaps between them, as float.
std::vector<float> packed(const Matrix& x) {
  std::vector<float> values(static_cast<size_t>(x.rows * x.columns));
  const size_t bytes = static_cast<size_t>(x.rows * element_bytes(x.type));
  for (int64_t j = 0; j < x.columns; j++) {
    if (!checker::written(static_cast<const char*>(x.data) + j * x.ld * element_bytes(x.type), bytes))
      throw KernelError(cudaErrorIllegalAddress, "a matrix product reads memory never written: column " +
                                                     std::to_string(j) + " of " + show("operand", x));
    for (int64_t i = 0; i < x.rows; i++)
      values[static_cast<size_t>(j * x.rows + i)] = load(x.data, x.type, j * x.ld + i);
  }
  return values;
}

constexpr float kGelu = 0.7978845608f, kGeluCubic = 0.044715f;  // the tanh form, as cuBLASLt has it

float gelu(float x) { return 0.5f * x * (1.0f + std::tanh(kGelu * (x + kGeluCubic * x * x * x))); }
float gelu_slope(float x) {
  const float t = std::tanh(kGelu * (x + kGeluCubic * x * x * x));
  return 0.5f * (1.0f + t) + 0.5f * x * (1.0f - t * t) * kGelu * (1.0f + 3.0f * kGeluCubic * x * x);
}

float finish(const Epilogue& e, cudaDataType type, int64_t row, int64_t column, float value) {
  if (e.bias) value += load(e.bias, e.bias_type, row);
  const int64_t at = column * e.aux_ld + row;
  switch (e.kind) {
    case CUBLASLT_EPILOGUE_RELU:
    case CUBLASLT_EPILOGUE_RELU_BIAS:
      return std::max(value, 0.0f);
    case CUBLASLT_EPILOGUE_GELU_AUX:
    case CUBLASLT_EPILOGUE_GELU_AUX_BIAS:
      store(e.aux, type, at, value);
      return gelu(value);
    case CUBLASLT_EPILOGUE_GELU:
    case CUBLASLT_EPILOGUE_GELU_BIAS:
      return gelu(value);
    case CUBLASLT_EPILOGUE_DGELU:
      return value * gelu_slope(load(e.aux, type, at));
    default:
      return value;
  }
}

void check_memory(const Product& p) {
  for (const Matrix* x : {&p.a, &p.b, &p.d})
    if (!inside(*x))
      throw KernelError(cudaErrorIllegalAddress, "memory was freed before a matrix product could use it");
}

}  // namespace

int64_t element_bytes(cudaDataType type) { return type == CUDA_R_16BF ? 2 : type == CUDA_R_32F ? 4 : 0; }

cublasStatus_t refuse(cublasStatus_t status, const std::string& message) {
  explain(message);
  return status;
}

cublasStatus_t check_product(const Product& p, cublasComputeType_t compute, const char* call) {
  const std::string name(call);
  if (p.m < 0 || p.n < 0 || p.k < 0) return refuse(CUBLAS_STATUS_INVALID_VALUE, name + ": a negative size");
  if (!supported(p, compute))
    return refuse(
        CUBLAS_STATUS_NOT_SUPPORTED,
        name + ": this combination of types is not supported (bf16 or f32 inputs of one type, fp32 sums)");
  struct Operand {
    const char* name;
    const Matrix& matrix;
    int64_t rows, columns;
  };
  const Operand operands[] = {{"A", p.a, p.transpose_a ? p.k : p.m, p.transpose_a ? p.m : p.k},
                              {"B", p.b, p.transpose_b ? p.n : p.k, p.transpose_b ? p.k : p.n},
                              {"D", p.d, p.m, p.n},
                              {"C", p.c, p.m, p.n}};
  for (const auto& [which, x, rows, columns] : operands) {
    if (&x == &p.c && p.beta == 0.0f) continue;  // not read
    if (x.rows != rows || x.columns != columns)
      return refuse(CUBLAS_STATUS_INVALID_VALUE, name + ": " + show(which, x) + ", wanted " +
                                                     std::to_string(rows) + " x " + std::to_string(columns));
    if (x.ld < std::max<int64_t>(1, x.rows))
      return refuse(CUBLAS_STATUS_INVALID_VALUE,
                    name + ": the leading dimension is below the rows of " + show(which, x));
    if (reinterpret_cast<uintptr_t>(x.data) % static_cast<uintptr_t>(element_bytes(x.type)))
      return refuse(CUBLAS_STATUS_INVALID_VALUE, name + ": misaligned pointer to " + show(which, x));
    if (!inside(x))
      return refuse(CUBLAS_STATUS_EXECUTION_FAILED, name + ": " + show(which, x) + " at " + describe(x.data) +
                                                        " reaches outside its allocation on the device");
  }
  return CUBLAS_STATUS_SUCCESS;
}

void run_product(const Product& p) {
  if (p.m == 0 || p.n == 0) return;
  check_memory(p);
  const std::vector<float> a = packed(p.a), b = packed(p.b);
  std::vector<float> sums(static_cast<size_t>(p.m * p.n), 0.0f);
  // A column-major matrix is its transpose row by row: D^T = op(B)^T op(A)^T.
  if (p.k > 0)
    rmoe::gemm<float>(p.transpose_b ? Trans::yes : Trans::no, p.transpose_a ? Trans::yes : Trans::no, p.n,
                      p.m, p.k, b.data(), p.b.rows, a.data(), p.a.rows, 0.0f, sums.data(), p.m);
  const std::vector<float> c = p.beta != 0.0f ? packed(p.c) : std::vector<float>();
  void* d = const_cast<void*>(p.d.data);
  for (int64_t j = 0; j < p.n; j++) {
    for (int64_t i = 0; i < p.m; i++) {
      const size_t at = static_cast<size_t>(j * p.m + i);
      const float value = p.alpha * sums[at] + (c.empty() ? 0.0f : p.beta * c[at]);
      store(d, p.d.type, j * p.d.ld + i, finish(p.epilogue, p.d.type, i, j, value));
    }
    const int64_t bytes = element_bytes(p.d.type);
    checker::device_written(static_cast<char*>(d) + j * p.d.ld * bytes, static_cast<size_t>(p.m * bytes));
    if (p.epilogue.aux)
      checker::device_written(static_cast<char*>(p.epilogue.aux) + j * p.epilogue.aux_ld * bytes,
                              static_cast<size_t>(p.m * bytes));
  }
}

}  // namespace rmoe::emulator
