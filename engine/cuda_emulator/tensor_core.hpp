// Warp-wide matrix instructions. Fragments lie in lanes and registers as the PTX ISA says: in m16n8k16 lane l
// holds, with g = l / 4 and t = l % 4 * 2, A[g or g + 8][t, t + 1 or + 8], B[t, t + 1 or + 8][g] and C[g or g
// + 8][t, t + 1].
#pragma once

#include "engine/cuda_emulator/execution.hpp"

namespace rmoe::emulator {

/// d += a b in fp32, a [16,16] and b [16,8] of bf16 pairs.
void mma_m16n8k16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], Location place);

/// `count` tiles of 8 x 8 16-bit elements: row i of tile m starts at the address that lane 8 m + i brings.
/// Transposed, lanes get the columns.
void load_matrices(uint32_t* result, int count, bool transposed, const void* row, Location place);

}  // namespace rmoe::emulator
