#include "engine/reduce.hpp"
#include "ops/entropy/kernels.hpp"

#include <cmath>

namespace rmoe::cpu {

template <class T>
void entropy_fwd(double* h, const T* p, int64_t n) {
  reduce_rows(n, 1, h, 0.0, [=](int64_t begin, int64_t end, double* partial) {
    for (int64_t i = begin; i < end; ++i)
      if (p[i] > 0) *partial -= double(p[i]) * std::log(double(p[i]));
  });
}

template void entropy_fwd<float>(double*, const float*, int64_t);
template void entropy_fwd<double>(double*, const double*, int64_t);

}  // namespace rmoe::cpu
