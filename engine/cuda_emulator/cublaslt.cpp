// The cuBLASLt calls we use, behind the vendor's header.
#include "engine/cuda_emulator/device.hpp"
#include "engine/cuda_emulator/errors.hpp"
#include "engine/cuda_emulator/heap.hpp"
#include "engine/cuda_emulator/product.hpp"
#include "engine/cuda_emulator/recording.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <new>
#include <type_traits>

namespace rmoe::emulator {
namespace {

struct Description {
  cublasComputeType_t compute;
  int32_t transpose_a = CUBLAS_OP_N, transpose_b = CUBLAS_OP_N;
  Epilogue epilogue;
};

struct Layout {
  cudaDataType type;
  int64_t rows, columns, ld;
  int32_t batch = 1;
  int64_t stride = 0;
};

struct Preference {
  uint64_t workspace_bytes = 0;
  uint32_t alignment[4] = {256, 256, 256,
                           256};  // of A, B, C, D: what the library assumes if it is told nothing
};

/// An algorithm fits the problem that it was asked for, with the alignment and workspace it was promised.
struct Algorithm {
  static constexpr uint64_t kMagic = 0x616c676f;
  uint64_t magic = kMagic, problem = 0, workspace_bytes = 0;
  uint32_t alignment[4] = {};
};

template <class Ours, class Theirs>
Ours& ours(Theirs* opaque) {
  static_assert(sizeof(Ours) <= sizeof(Theirs) && std::is_trivially_destructible_v<Ours>);
  return *reinterpret_cast<Ours*>(opaque);
}

template <class T>
cublasStatus_t set(T& field, const void* value, size_t bytes) {
  if (bytes != sizeof field)
    return refuse(CUBLAS_STATUS_INVALID_VALUE, "cublasLt: an attribute of the wrong size");
  std::memcpy(&field, value, bytes);
  return CUBLAS_STATUS_SUCCESS;
}

uint64_t fingerprint(const Description& d, std::initializer_list<const Layout*> layouts) {
  uint64_t hash = 1469598103934665603u;
  const auto add = [&](int64_t value) { hash = (hash ^ static_cast<uint64_t>(value)) * 1099511628211u; };
  add(d.compute), add(d.transpose_a), add(d.transpose_b), add(d.epilogue.kind);
  for (const Layout* x : layouts)
    add(x->type), add(x->rows), add(x->columns), add(x->ld), add(x->batch), add(x->stride);
  return hash;
}

cublasStatus_t check_algorithm(const Algorithm& algorithm, uint64_t problem, const void* const (&pointers)[4],
                               const void* workspace, size_t workspace_bytes) {
  if (algorithm.magic != Algorithm::kMagic || algorithm.problem != problem)
    return refuse(CUBLAS_STATUS_NOT_SUPPORTED, "cublasLtMatmul: the algorithm was found for another problem");
  if (workspace_bytes < algorithm.workspace_bytes ||
      (algorithm.workspace_bytes && !in_device_memory(workspace, algorithm.workspace_bytes)))
    return refuse(CUBLAS_STATUS_INVALID_VALUE, "cublasLtMatmul: the algorithm wants " +
                                                   std::to_string(algorithm.workspace_bytes) +
                                                   " bytes of workspace, " + std::to_string(workspace_bytes) +
                                                   " given at " + describe(workspace));
  for (int i = 0; i < 4; i++)
    if (reinterpret_cast<uintptr_t>(pointers[i]) % algorithm.alignment[i])
      return refuse(CUBLAS_STATUS_NOT_SUPPORTED,
                    std::string("cublasLtMatmul: ") + "ABCD"[i] + " is not a multiple of " +
                        std::to_string(algorithm.alignment[i]) +
                        " bytes, which the preferences promised (256 if not set)");
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t check_epilogue(const Epilogue& e, const Layout& d) {
  const auto any = [&](std::initializer_list<cublasLtEpilogue_t> kinds) {
    return std::find(kinds.begin(), kinds.end(), e.kind) != kinds.end();
  };
  const bool bias = any({CUBLASLT_EPILOGUE_BIAS, CUBLASLT_EPILOGUE_RELU_BIAS, CUBLASLT_EPILOGUE_GELU_BIAS,
                         CUBLASLT_EPILOGUE_GELU_AUX_BIAS});
  const bool aux =
      any({CUBLASLT_EPILOGUE_GELU_AUX, CUBLASLT_EPILOGUE_GELU_AUX_BIAS, CUBLASLT_EPILOGUE_DGELU});
  const bool plain = any({CUBLASLT_EPILOGUE_DEFAULT, CUBLASLT_EPILOGUE_RELU, CUBLASLT_EPILOGUE_GELU});
  if (!bias && !aux && !plain)
    return refuse(CUBLAS_STATUS_NOT_SUPPORTED, "cublasLtMatmul: this epilogue is not emulated");
  if (bias && !in_device_memory(e.bias, static_cast<size_t>(d.rows * element_bytes(e.bias_type))))
    return refuse(CUBLAS_STATUS_INVALID_VALUE, "cublasLtMatmul: the bias of " + std::to_string(d.rows) +
                                                   " numbers is not on the device: " + describe(e.bias));
  const int64_t aux_bytes = d.columns ? ((d.columns - 1) * e.aux_ld + d.rows) * element_bytes(d.type) : 0;
  if (aux && (e.aux_ld < d.rows || e.aux_ld % 8 || !in_device_memory(e.aux, static_cast<size_t>(aux_bytes))))
    return refuse(CUBLAS_STATUS_INVALID_VALUE,
                  "cublasLtMatmul: the auxiliary matrix must lie on the device, its leading dimension be a "
                  "multiple of 8");
  return CUBLAS_STATUS_SUCCESS;
}

Matrix matrix(const void* data, const Layout& layout, int batch) {
  const char* start = static_cast<const char*>(data) + batch * layout.stride * element_bytes(layout.type);
  return {start, layout.type, layout.rows, layout.columns, layout.ld};
}

}  // namespace
}  // namespace rmoe::emulator

using namespace rmoe::emulator;

extern "C" {

const char* cublasLtGetStatusString(cublasStatus_t status) { return cublasGetStatusString(status); }

cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  *handle = reinterpret_cast<cublasLtHandle_t>(new char);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
  delete reinterpret_cast<char*>(handle);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* description, cublasComputeType_t compute,
                                        cudaDataType_t scale) {
  if (scale != CUDA_R_32F) return refuse(CUBLAS_STATUS_NOT_SUPPORTED, "cublasLt: alpha and beta must be f32");
  *description = new cublasLtMatmulDescOpaque_t{};
  new (&ours<Description>(*description)) Description{compute, CUBLAS_OP_N, CUBLAS_OP_N, {}};
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t description) {
  delete description;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t description,
                                              cublasLtMatmulDescAttributes_t attribute, const void* value,
                                              size_t bytes) {
  Description& d = ours<Description>(description);
  switch (attribute) {
    case CUBLASLT_MATMUL_DESC_TRANSA:
      return set(d.transpose_a, value, bytes);
    case CUBLASLT_MATMUL_DESC_TRANSB:
      return set(d.transpose_b, value, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE:
      return set(d.epilogue.kind, value, bytes);
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
      return set(d.epilogue.bias, value, bytes);
    case CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE:
      return set(d.epilogue.bias_type, value, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER:
      return set(d.epilogue.aux, value, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD:
      return set(d.epilogue.aux_ld, value, bytes);
    default:
      return refuse(CUBLAS_STATUS_NOT_SUPPORTED, "cublasLt: this attribute of a product is not emulated");
  }
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* layout, cudaDataType type, uint64_t rows,
                                          uint64_t columns, int64_t ld) {
  *layout = new cublasLtMatrixLayoutOpaque_t{};
  new (&ours<Layout>(*layout))
      Layout{type, static_cast<int64_t>(rows), static_cast<int64_t>(columns), ld, 1, 0};
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
  delete layout;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t layout,
                                                cublasLtMatrixLayoutAttribute_t attribute, const void* value,
                                                size_t bytes) {
  Layout& x = ours<Layout>(layout);
  switch (attribute) {
    case CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT:
      return set(x.batch, value, bytes);
    case CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET:
      return set(x.stride, value, bytes);
    default:
      return refuse(CUBLAS_STATUS_NOT_SUPPORTED, "cublasLt: this attribute of a layout is not emulated");
  }
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* preference) {
  *preference = new cublasLtMatmulPreferenceOpaque_t{};
  new (&ours<Preference>(*preference)) Preference{};
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
  delete preference;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t attribute,
                                                    const void* value, size_t bytes) {
  Preference& p = ours<Preference>(preference);
  switch (attribute) {
    case CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES:
      return set(p.workspace_bytes, value, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES:
      return set(p.alignment[0], value, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES:
      return set(p.alignment[1], value, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES:
      return set(p.alignment[2], value, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES:
      return set(p.alignment[3], value, bytes);
    default:
      return refuse(CUBLAS_STATUS_NOT_SUPPORTED, "cublasLt: this preference is not emulated");
  }
}

/// One algorithm, which wants as much workspace as it may have, up to 1 MiB.
cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t description,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int wanted,
                                              cublasLtMatmulHeuristicResult_t* results, int* found) {
  if (wanted < 1)
    return refuse(CUBLAS_STATUS_INVALID_VALUE, "cublasLtMatmulAlgoGetHeuristic: no algorithm wanted");
  const Preference& p = ours<Preference>(preference);
  Algorithm algorithm;
  algorithm.problem = fingerprint(ours<Description>(description),
                                  {&ours<Layout>(a), &ours<Layout>(b), &ours<Layout>(c), &ours<Layout>(d)});
  algorithm.workspace_bytes = std::min<uint64_t>(p.workspace_bytes, 1 << 20);
  std::copy(std::begin(p.alignment), std::end(p.alignment), algorithm.alignment);
  results[0] = {};
  std::memcpy(&results[0].algo, &algorithm, sizeof algorithm);
  static_assert(sizeof algorithm <= sizeof results[0].algo);
  results[0].workspaceSize = algorithm.workspace_bytes;
  results[0].state = CUBLAS_STATUS_SUCCESS;
  *found = 1;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t description, const void* alpha,
                              const void* a, cublasLtMatrixLayout_t a_layout, const void* b,
                              cublasLtMatrixLayout_t b_layout, const void* beta, const void* c,
                              cublasLtMatrixLayout_t c_layout, void* d, cublasLtMatrixLayout_t d_layout,
                              const cublasLtMatmulAlgo_t* algo, void* workspace, size_t workspace_bytes,
                              cudaStream_t stream) {
  const Description& what = ours<Description>(description);
  const Layout &la = ours<Layout>(a_layout), &lb = ours<Layout>(b_layout), &lc = ours<Layout>(c_layout),
               &ld = ours<Layout>(d_layout);
  if (is_device(alpha) || is_device(beta))
    return refuse(CUBLAS_STATUS_INVALID_VALUE, "cublasLtMatmul: alpha and beta must be host pointers");
  if (!current_device().knows(stream))
    return refuse(CUBLAS_STATUS_EXECUTION_FAILED, "cublasLtMatmul: no such stream");
  if (const auto status = check_epilogue(what.epilogue, ld)) return status;
  if (algo) {
    Algorithm algorithm;
    std::memcpy(static_cast<void*>(&algorithm), algo, sizeof algorithm);
    const uint64_t problem = fingerprint(what, {&la, &lb, &lc, &ld});
    if (const auto status = check_algorithm(algorithm, problem, {a, b, c, d}, workspace, workspace_bytes))
      return status;
  }
  if (la.batch != ld.batch || lb.batch != ld.batch)
    return refuse(CUBLAS_STATUS_INVALID_VALUE, "cublasLtMatmul: the batch counts differ");
  for (int i = 0; i < ld.batch; i++) {
    Product p;
    p.transpose_a = what.transpose_a != CUBLAS_OP_N;
    p.transpose_b = what.transpose_b != CUBLAS_OP_N;
    p.m = ld.rows, p.n = ld.columns, p.k = p.transpose_a ? la.rows : la.columns;
    p.alpha = *static_cast<const float*>(alpha), p.beta = *static_cast<const float*>(beta);
    p.a = matrix(a, la, i), p.b = matrix(b, lb, i), p.c = matrix(c, lc, i), p.d = matrix(d, ld, i);
    p.epilogue = what.epilogue;
    if (const auto status = check_product(p, what.compute, "cublasLtMatmul")) return status;
    record("product", {uint64_t(p.m), uint64_t(p.n), uint64_t(p.k)},
           {p.a.data, p.b.data, p.c.data, p.d.data, p.epilogue.bias, workspace},
           {std::bit_cast<uint32_t>(p.alpha), std::bit_cast<uint32_t>(p.beta)});
    current_device().enqueue(stream, [p] { run_product(p); });
  }
  return CUBLAS_STATUS_SUCCESS;
}

}  // extern "C"
