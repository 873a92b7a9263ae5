#include "engine/cuda_emulator/tensor_core.hpp"

#include <array>
#include <bit>

namespace rmoe::emulator {
namespace {

constexpr uint32_t kFullMask = ~0u;
constexpr char kMultiply[] = "mma.sync";
constexpr char kLoad[] = "ldmatrix", kLoadTransposed[] = "ldmatrix.trans";

struct Operands {
  uint32_t a[4], b[2];
  float c[4];
};

float half_of(uint32_t pair, int i) { return std::bit_cast<float>(i ? pair & 0xffff0000u : pair << 16); }

void multiply(Meeting& meeting, uint32_t) {
  alignas(64) float a[16][16], b[16][8], c[16][8];
  for (int lane = 0; lane < kWarpSize; lane++) {
    const int g = lane / 4, t = lane % 4 * 2;
    Operands o;
    std::memcpy(&o, meeting.in[lane].words, sizeof o);
    for (int i = 0; i < 2; i++) {
      a[g][t + i] = half_of(o.a[0], i);
      a[g + 8][t + i] = half_of(o.a[1], i);
      a[g][t + 8 + i] = half_of(o.a[2], i);
      a[g + 8][t + 8 + i] = half_of(o.a[3], i);
      b[t + i][g] = half_of(o.b[0], i);
      b[t + 8 + i][g] = half_of(o.b[1], i);
      c[g][t + i] = o.c[i];
      c[g + 8][t + i] = o.c[2 + i];
    }
  }
  for (int row = 0; row < 16; row++)
    for (int k = 0; k < 16; k++)
      for (int column = 0; column < 8; column++) c[row][column] += a[row][k] * b[k][column];
  for (int lane = 0; lane < kWarpSize; lane++) {
    const int g = lane / 4, t = lane % 4 * 2;
    const float d[4] = {c[g][t], c[g][t + 1], c[g + 8][t], c[g + 8][t + 1]};
    std::memcpy(meeting.out[lane].words, d, sizeof d);
  }
}

template <int kCount, bool kTransposed>
void load(Meeting& meeting, uint32_t) {
  for (int m = 0; m < kCount; m++) {
    uint16_t tile[8][8];
    for (int row = 0; row < 8; row++) {
      const void* address;
      std::memcpy(&address, meeting.in[8 * m + row].words, sizeof address);
      std::memcpy(tile[row], address, sizeof tile[row]);
    }
    for (int lane = 0; lane < kWarpSize; lane++) {
      const int g = lane / 4, t = lane % 4 * 2;
      const uint32_t low = kTransposed ? tile[t][g] : tile[g][t],
                     high = kTransposed ? tile[t + 1][g] : tile[g][t + 1];
      meeting.out[lane].words[m] = low | high << 16;
    }
  }
}

using Combine = void (*)(Meeting&, uint32_t);
Combine loader(int count, bool transposed) {
  if (count == 4) return transposed ? load<4, true> : load<4, false>;
  return transposed ? load<2, true> : load<2, false>;
}

}  // namespace

void mma_m16n8k16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], Location place) {
  Operands operands;
  std::memcpy(operands.a, a, sizeof a);
  std::memcpy(operands.b, b, sizeof b);
  std::memcpy(operands.c, d, sizeof d);
  const Visit visit(kFullMask, kMultiply, place, operands, multiply);
  const auto result = visit.result<std::array<float, 4>>();
  std::memcpy(d, result.data(), sizeof d);
}

void load_matrices(uint32_t* result, int count, bool transposed, const void* row, Location place) {
  if (current->lane < 8 * count) {  // the others' addresses are not used
    if (reinterpret_cast<uintptr_t>(row) % 16)
      kernel_fails(cudaErrorMisalignedAddress, "ldmatrix: row address %p is not a multiple of 16, at %s:%u",
                   row, place.file_name(), place.line());
    note_read(row, 16);
  }
  const Visit visit(kFullMask, transposed ? kLoadTransposed : kLoad, place, row, loader(count, transposed));
  const auto words = visit.result<std::array<uint32_t, 4>>();
  std::memcpy(result, words.data(), sizeof(uint32_t) * static_cast<size_t>(count));
}

}  // namespace rmoe::emulator
