// The gradients of ReLU experts. h > 0 says of a unit that it was neither dropped nor cut off, so that the
// product which makes dh has all that it takes to make dz of it.
#include "engine/cuda/rows.cuh"
#include "ops/experts/hidden.cuh"

namespace rmoe::cuda {
namespace {

/// h of two units becomes their dz; adds <h, dh> to dot and returns g h.
DEVICE uint32_t relu_pair_bwd(uint32_t& h, float dh_low, float dh_high, float g, float scale, float& dot) {
  const float low = low_bf16(h), high = high_bf16(h);
  dot += low * dh_low + high * dh_high;
  h = ptx::pack_bf16(low > 0.0f ? g * scale * dh_low : 0.0f, high > 0.0f ? g * scale * dh_high : 0.0f);
  return ptx::pack_bf16(g * low, g * high);
}

struct Relu {
  __nv_bfloat16 *dz, *gated_h;
  const __nv_bfloat16* h;
  int F;
  float scale;

  DEVICE void move(int row) {
    const int64_t distance = int64_t(row) * F;
    dz += distance, gated_h += distance, h += distance;
  }

  template <class Tile>
  DEVICE void store(const float (&dh)[Tile::kFragmentColumns][4], int j, int row, int rows, int unit,
                    const float (&gates)[2], float (&dots)[2]) const {
    const PairPlace place = PairPlace::of<Tile>(j, row, rows, unit, F);
    Words words, gated;
    if (place.inside) words.load(h + place.in(F));
    words.transpose_in_quad();
    UNROLL for (int half = 0; half < 2; ++half)
        UNROLL for (int q = 0; q < 2; ++q) if (j + q < Tile::kFragmentColumns)
            gated.word[2 * half + q] = relu_pair_bwd(words.word[2 * half + q], dh[j + q][2 * half],
                                                     dh[j + q][2 * half + 1], gates[half], scale, dots[half]);
    words.transpose_in_quad();
    gated.transpose_in_quad();
    if (!place.inside) return;
    words.store(dz + place.in(F));
    gated.store(gated_h + place.in(F));
  }
};

/// dots_i = <h, dh> of its row + <b2_e, dout_n>
void add_bias_dots(float* dots, const PartialDots& of_hidden, const __nv_bfloat16* b2,
                   const __nv_bfloat16* dout, const ExpertRows& rows) {
  const Groups groups = groups_of(rows);
  const int32_t* const slot = rows.slot;
  const int64_t C = rows.C;
  const int K = int(rows.K);
  for_each_row(rows.N * rows.K, [=] ON_DEVICE(int64_t i, int lane) {
    const int32_t row = slot[i];
    float dot = 0.0f;
    if (row >= 0) {
      const auto product = [](float a, float b) { return a * b; };
      dot = of_hidden(row) +
            sum_over_row<8>(C, lane, product, b2 + group_of_row(groups, row) * C, dout + int32_t(i) / K * C);
    }
    if (lane == 0) dots[i] = dot;
  });
}

}  // namespace

template <>
void relu_experts_bwd_hidden(bf16* dz, bf16* gated_h, float* dots, const bf16* dout, const bf16* w2,
                             const bf16* b2, const float* gates, const bf16* h, const ExpertRows& rows,
                             double p) {
  const Relu relu{device_pointer(dz), device_pointer(gated_h), device_pointer(h), int(rows.F),
                  float(1 / (1 - p))};
  hidden_gradient(relu, dout, w2, gates, rows, [&](const PartialDots& of_hidden) {
    add_bias_dots(dots, of_hidden, device_pointer(b2), device_pointer(dout), rows);
  });
}

}  // namespace rmoe::cuda
