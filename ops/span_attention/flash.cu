// The slots for the tensor-core kernels, and the width of tiles they run with.
#include "engine/cuda/for_each.cuh"
#include "ops/span_attention/flash.cuh"

namespace rmoe::cuda::flash {
namespace {

int width_of(int64_t D) { return D <= 32 ? 32 : 48; }

/// Columns of the padded slots: rows and copies of 16 bytes; a step reaches less than three blocks past the
/// span.
int64_t pitch_of(int64_t L) { return kMargin + pieces(L, kBlock) * kBlock + 3 * kBlock; }

/// slots [width, pitch] = key_pe with zeros on all sides.
void pad_slots(Element* slots, const Span<Element>& span, int width, int64_t pitch) {
  const int64_t D = span.n.D, L = span.n.L;
  const Element* key_pe = span.key_pe;
  for_each(width * pitch, [=] ON_DEVICE(int64_t i) {
    const int64_t d = i / pitch, slot = i % pitch - kMargin;
    set(slots + i, d < D && slot >= 0 && slot < L ? key_pe[d * L + slot] : __float2bfloat16(0.0f));
  });
}

/// Calls run(width as a constant, params).
template <class Run>
void with_params(const Span<Element>& span, int unit, const Run& run) {
  const int width = width_of(span.n.D);
  const int64_t pitch = pitch_of(span.n.L);
  const Scratch<Element> slots(width * pitch);
  pad_slots(slots.data(), span, width, pitch);
  const Params p{span, slots.data(), int(pitch), unit};
  if (width == 32) return run.template operator()<32>(p);
  run.template operator()<48>(p);
}

}  // namespace

void span_fwd(const Span<Element>& span) {
  const int unit = copy_unit(span.n.D, span.o, span.q, span.k, span.v);
  with_params(span, unit, []<int kWidth>(const Params& p) { span_fwd<kWidth>(p); });
}

void span_bwd(const Span<Element>& span, float beta) {
  const int unit = copy_unit(span.n.D, span.dq, span.dk, span.dv, span.q, span.k, span.v, span.dy);
  with_params(span, unit, [=]<int kWidth>(const Params& p) {
    if (p.dq) span_bwd_queries<kWidth>(p);
    if (p.dk || p.dv) span_bwd_keys<kWidth>(p);
    if (p.dkey_pe) span_bwd_slots<kWidth>(p, beta);
  });
}

}  // namespace rmoe::cuda::flash
