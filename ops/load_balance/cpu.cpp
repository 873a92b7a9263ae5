#include "engine/error.hpp"
#include "engine/reduce.hpp"
#include "ops/load_balance/kernels.hpp"

#include <vector>

namespace rmoe::cpu {

template <class T>
void load_balance_fwd(T* loss, const T* probs, const double* share, int64_t N, int64_t E) {
  const Scratch<T> total(E);
  sum_rows<T>(N, E, total.data(), T(0), probs);
  T sum = 0;
  for (int64_t e = 0; e < E; ++e) sum += T(share[e]) * total[e];
  loss[0] = N == 0 ? T(0) : sum * T(E) / T(N);
}

template <class T>
void load_balance_bwd(acc_t<T>* dprobs, const acc_t<T>* dloss, const double* share, int64_t N, int64_t E,
                      double beta) {
  constexpr int64_t kRows = 256;
  parallel_chunks(N, kRows, [=](int64_t begin, int64_t end) {
    const T scale = dloss[0] * T(E) / T(N);
    for (int64_t n = begin; n < end; ++n)
      for (int64_t e = 0; e < E; ++e) {
        const T g = scale * T(share[e]);
        dprobs[n * E + e] = beta == 0 ? g : dprobs[n * E + e] + g;
      }
  });
}

void expert_share_fwd(double* share, const int32_t* experts, int64_t M, int64_t E, int64_t all) {
  std::vector<int64_t> count(E);
  for (int64_t i = 0; i < M; ++i) {
    RMOE_CHECK(experts[i] >= 0 && experts[i] < E, "expert_share: assignment ", i, " goes to expert ",
               experts[i], " of ", E);
    ++count[experts[i]];
  }
  for (int64_t e = 0; e < E; ++e) share[e] = all == 0 ? 0 : double(count[e]) / double(all);
}

#define RMOE_INSTANTIATE(T)                                                         \
  template void load_balance_fwd<T>(T*, const T*, const double*, int64_t, int64_t); \
  template void load_balance_bwd<T>(acc_t<T>*, const acc_t<T>*, const double*, int64_t, int64_t, double);

RMOE_INSTANTIATE(float)
RMOE_INSTANTIATE(double)

}  // namespace rmoe::cpu
