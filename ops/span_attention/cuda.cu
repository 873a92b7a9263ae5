#include "engine/cuda/for_each.cuh"
#include "engine/cuda/philox.cuh"
#include "ops/attention_plain.cuh"
#include "ops/span_attention/plain.cuh"

namespace rmoe::cuda {
namespace {

/// One thread draws the numbers of one word; number `offset` + i of the stream is that of element i of [rows,
/// L].
void draw_mask(int32_t* mask, int64_t rows, const SpanSizes& n, double dropout, uint64_t seed,
               uint64_t stream_of_numbers, int64_t offset) {
  const int64_t words = n.mask_words(), L = n.L;
  const uint32_t least = lowest(dropout);
  for_each(rows * words, [=] ON_DEVICE(int64_t i) {
    const int64_t slot = i % words * 32, count = L - slot < 32 ? L - slot : 32;
    const uint64_t first = uint64_t(offset + i / words * L + slot);
    uint32_t word = 0;
    for (uint64_t block = first / 4; 4 * block < first + count; ++block) {
      const RandomBits bits = philox(seed, stream_of_numbers, block);
      UNROLL for (int n = 0; n < 4; ++n) {
        const int64_t bit = int64_t(4 * block + n - first);
        if (bit >= 0 && bit < count && at_least(bits.word[n], least)) word |= 1u << bit;
      }
    }
    mask[i] = int32_t(word);
  });
}

template <class T>
plain::Span<typename OnDevice<T>::type> span_of(const T* q, const T* k, const T* v, const T* key_pe,
                                                const int32_t* mask, const SpanSizes& n, double dropout) {
  plain::Span<typename OnDevice<T>::type> span{};
  span.q = device_pointer(q), span.k = device_pointer(k), span.v = device_pointer(v);
  span.key_pe = device_pointer(key_pe);
  span.mask = reinterpret_cast<const uint32_t*>(mask);
  span.mask_words = n.mask_words();
  span.n = n;
  span.scale = float(1 / sqrt(double(n.D))), span.keep = float(1 / (1 - dropout));
  return span;
}

}  // namespace

template <class T>
void span_attention_fwd(T* o, acc_t<T>* lse, int32_t* mask, const T* q, const T* k, const T* v,
                        const T* key_pe, const SpanSizes& n, double dropout, uint64_t seed, uint64_t stream,
                        int64_t offset) {
  if (mask) draw_mask(mask, n.B * n.H * n.T, n, dropout, seed, stream, offset);
  auto span = span_of(q, k, v, key_pe, mask, n, dropout);
  span.o = device_pointer(o), span.lse = lse;
  plain::span_fwd(span);
}

template <class T>
void span_attention_bwd(T* dq, T* dk, T* dv, acc_t<T>* dkey_pe, const T* dy, const T* q, const T* k,
                        const T* v, const T* key_pe, const T* o, const acc_t<T>* lse, const int32_t* mask,
                        const SpanSizes& n, double dropout, double beta) {
  const Scratch<float> delta(n.B * n.H * n.T);
  plain::row_products(delta.data(), device_pointer(dy), device_pointer(o), n.B, n.T, n.H, n.D);
  auto span = span_of(q, k, v, key_pe, mask, n, dropout);
  span.dq = device_pointer(dq), span.dk = device_pointer(dk), span.dv = device_pointer(dv),
  span.dkey_pe = dkey_pe;
  span.dy = device_pointer(dy), span.lse = const_cast<float*>(lse), span.delta = delta.data();
  plain::span_bwd(span, float(beta));
}

#define RMOE_INSTANTIATE(T)                                                                                  \
  template void span_attention_fwd<T>(T*, acc_t<T>*, int32_t*, const T*, const T*, const T*, const T*,       \
                                      const SpanSizes&, double, uint64_t, uint64_t, int64_t);                \
  template void span_attention_bwd<T>(T*, T*, T*, acc_t<T>*, const T*, const T*, const T*, const T*,         \
                                      const T*, const T*, const acc_t<T>*, const int32_t*, const SpanSizes&, \
                                      double, double);

RMOE_CUDA_TYPES(RMOE_INSTANTIATE)

}  // namespace rmoe::cuda
