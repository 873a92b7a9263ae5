// The slots for the tensor-core kernels, and the width of tiles they run with.
#include "engine/cuda/for_each.cuh"
#include "ops/span_attention/flash.cuh"

namespace rmoe::cuda::flash {
namespace {

/// slots [width, pitch] = key_pe with zeros on all sides.
void pad_slots(Element* slots, const Span<Element>& span, int64_t width, int64_t pitch) {
  const int64_t D = span.n.D, L = span.n.L;
  const Element* key_pe = span.key_pe;
  for_each(width * pitch, [=] ON_DEVICE(int64_t i) {
    const int64_t d = i / pitch, slot = i % pitch - kMargin;
    set(slots + i, d < D && slot >= 0 && slot < L ? key_pe[d * L + slot] : __float2bfloat16(0.0f));
  });
}

/// key_pe as the kernels read it.
struct Slots {
  explicit Slots(const Span<Element>& span)
      : width(span.n.D <= 32 ? 32 : 48),
        pitch(kMargin + pieces(span.n.L, kBlock) * kBlock + 3 * kBlock),
        padded(width * pitch) {
    pad_slots(padded.data(), span, width, pitch);
  }
  int64_t width;  // of the tiles that heads of D fit into
  int64_t pitch;  // copies are of 16 bytes; a step reaches less than three blocks past the span
  Scratch<Element> padded;
};

template <int kWidth>
void backward(const Params& p, float beta) {
  if (p.dq) span_bwd_queries<kWidth>(p);
  if (p.dk || p.dv) span_bwd_keys<kWidth>(p);
  if (p.dkey_pe) span_bwd_slots<kWidth>(p, beta);
}

}  // namespace

void span_fwd(const Span<Element>& span) {
  const Slots slots(span);
  const int unit = copy_unit(span.n.D, span.o, span.q, span.k, span.v);
  const Params p{span, slots.padded.data(), int(slots.pitch), unit};
  if (slots.width == 32) return span_fwd<32>(p);
  span_fwd<48>(p);
}

void span_bwd(const Span<Element>& span, float beta) {
  const Slots slots(span);
  const int unit = copy_unit(span.n.D, span.dq, span.dk, span.dv, span.q, span.k, span.v, span.dy);
  const Params p{span, slots.padded.data(), int(slots.pitch), unit};
  if (slots.width == 32) return backward<32>(p, beta);
  backward<48>(p, beta);
}

}  // namespace rmoe::cuda::flash
