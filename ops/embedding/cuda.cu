// Forward copies rows. Backward sorts the positions by token and cuts the sorted list into pieces of a fixed
// size; a run of equal tokens that begins in a piece is added up there, what earlier runs leave in later
// pieces goes into partial sums, one row for each piece, which are added in order. So a token that occurs in
// every second place costs no more than one that is rare, no two threads meet in a row of dw, and every run
// gives the same bits.
//
// A token outside the vocabulary ends the kernel: the host never looks at them.
#include "engine/cuda/refuse.cuh"
#include "engine/cuda/rows.cuh"
#include "engine/cuda/sort.cuh"
#include "ops/embedding/kernels.hpp"

namespace rmoe::cuda {
namespace {

constexpr int kPiece = 32;  // sorted positions that one thread adds up

/// Positions in the order of their tokens.
struct Sorted {
  const int32_t* token;
  const int32_t* position;
  int64_t N;

  /// Is position i of the same run as the one before?
  DEVICE bool continues(int64_t i) const { return i > 0 && i < N && token[i] == token[i - 1]; }
};

DEVICE int64_t end_of_piece(int64_t piece, int64_t N) {
  return (piece + 1) * kPiece < N ? (piece + 1) * kPiece : N;
}

/// Adds the runs that begin in this piece to dw, and what an earlier run leaves in it to parts [piece, C].
template <class T>
__global__ void __launch_bounds__(kThreads)
    add_runs_kernel(float* dw, float* parts, const T* dy, Sorted sorted, int64_t C) {
  const int64_t piece = blockIdx.x, begin = piece * kPiece, end = end_of_piece(piece, sorted.N);
  const int64_t c = int64_t(blockIdx.y) * kThreads + threadIdx.x;
  if (c >= C) return;
  bool earlier = sorted.continues(begin);
  float sum = 0.0f;
  for (int64_t i = begin; i < end; ++i) {
    sum += to_float(dy[sorted.position[i] * C + c]);
    if (i + 1 < end && sorted.continues(i + 1)) continue;
    if (earlier)
      parts[piece * C + c] = sum;
    else
      dw[sorted.token[i] * C + c] += sum;
    earlier = false;
    sum = 0.0f;
  }
}

/// Adds to a run that begins in this piece and goes on behind it what it left in later pieces.
static __global__ void __launch_bounds__(kThreads)
    add_parts_kernel(float* dw, const float* parts, Sorted sorted, int64_t C) {
  const int64_t c = int64_t(blockIdx.y) * kThreads + threadIdx.x;
  int64_t piece = blockIdx.x, next = end_of_piece(piece, sorted.N);
  const bool begins_here =
      !sorted.continues(piece * kPiece) || sorted.token[piece * kPiece] != sorted.token[next - 1];
  if (c >= C || !begins_here || !sorted.continues(next)) return;
  const int64_t token = sorted.token[next];
  float sum = 0.0f;
  do {
    sum += parts[++piece * C + c];
    next = end_of_piece(piece, sorted.N);
  } while (sorted.token[next - 1] == token && sorted.continues(next));
  dw[token * C + c] += sum;
}

}  // namespace

template <class T>
void embedding_fwd(T* y, const int32_t* tokens, const T* w, int64_t N, int64_t V, int64_t C) {
  auto* out = device_pointer(y);
  const auto* rows = device_pointer(w);
  for_each_row(N, [=] ON_DEVICE(int64_t n, int lane) {
    const int64_t token = tokens[n];
    if (token < 0 || token >= V)
      REFUSE("embedding: token %lld at position %lld is not in [0, %lld)", (long long)token, (long long)n,
             (long long)V);
    for (int64_t c = lane; c < C; c += kLanes) out[n * C + c] = rows[token * C + c];
  });
}

template <class T>
void embedding_bwd(acc_t<T>* dw, const T* dy, const int32_t* tokens, int64_t N, int64_t V, int64_t C,
                   double beta) {
  if (beta == 0) for_each(V * C, [=] ON_DEVICE(int64_t i) { dw[i] = 0.0f; });
  if (N == 0 || C == 0) return;
  const int64_t pieces = (N + kPiece - 1) / kPiece;
  const Scratch<int32_t> keys(2 * N), positions(2 * N);
  const Scratch<float> parts(pieces * C);
  const int64_t at = sort_positions(keys.data(), positions.data(), tokens, N, V);
  const Sorted sorted{keys.data() + at, positions.data() + at, N};
  const dim3 grid(unsigned(pieces), unsigned((C + kThreads - 1) / kThreads));
  LAUNCH((add_runs_kernel<typename OnDevice<T>::type>), grid, kThreads, 0, stream(), dw, parts.data(),
         device_pointer(dy), sorted, C);
  LAUNCH(add_parts_kernel, grid, kThreads, 0, stream(), dw, parts.data(), sorted, C);
}

#define RMOE_INSTANTIATE(T)                                                                \
  template void embedding_fwd<T>(T*, const int32_t*, const T*, int64_t, int64_t, int64_t); \
  template void embedding_bwd<T>(acc_t<T>*, const T*, const int32_t*, int64_t, int64_t, int64_t, double);

RMOE_CUDA_TYPES(RMOE_INSTANTIATE)

}  // namespace rmoe::cuda
