#include "engine/readback.hpp"

namespace rmoe {

std::vector<double> read_all(const std::vector<Tensor>& tensors) {
  int64_t count = 0;
  for (const Tensor& t : tensors) count += t.numel();
  if (count == 0 || tensors[0].device() == Device::meta) return {};
  const Tensor together = empty({count}, DType::f64, tensors[0].device());
  int64_t next = 0;
  for (const Tensor& t : tensors) {
    copy(together.rows(next, t.numel()), t);
    next += t.numel();
  }
  const Tensor here = to(together, Device::cpu);
  return {here.data<double>(), here.data<double>() + count};
}

}  // namespace rmoe
