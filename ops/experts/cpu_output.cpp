#include "ops/experts/blocks.hpp"

namespace rmoe::cpu {

template <class T>
void experts_bwd_w2(acc_t<T>* dw2, const T* dout, const T* gated_h, const ExpertRows& rows, double beta) {
  const int64_t F = rows.F, C = rows.C;
  for_gathered_columns(dout, rows, [=](const GatheredColumns<T>& dy) {
    const auto [e, begin, n] = dy.block;
    gemm_serial<T>(Trans::yes, Trans::no, dy.width, F, n, dy.data, dy.width, gated_h + begin * F, F,
                   dy.first ? T(beta) : T(1), dw2 + (e * C + dy.column) * F, F);
  });
}

template <class T>
void experts_bwd_b2(acc_t<T>* db2, const T* dout, const acc_t<T>* gates, const ExpertRows& rows,
                    double beta) {
  const int64_t C = rows.C;
  parallel_for(rows.E, [=](int64_t e) {
    T* to = db2 + e * C;
    for (int64_t c = 0; c < C; ++c) to[c] = beta == 0 ? T(0) : T(beta) * to[c];
    for (int64_t m = rows.offsets[e]; m < rows.offsets[e + 1]; ++m) {
      const T g = gates[rows.assignment[m]], *dy = dout + rows.assignment[m] / rows.K * C;
      for (int64_t c = 0; c < C; ++c) to[c] += g * dy[c];
    }
  });
}

#define RMOE_INSTANTIATE(T)                                                                  \
  template void experts_bwd_w2<T>(acc_t<T>*, const T*, const T*, const ExpertRows&, double); \
  template void experts_bwd_b2<T>(acc_t<T>*, const T*, const acc_t<T>*, const ExpertRows&, double);

RMOE_INSTANTIATE(float)
RMOE_INSTANTIATE(double)

}  // namespace rmoe::cpu
