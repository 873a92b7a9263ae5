// FLOPs asked for so far by this thread: ops add theirs beside the call of their kernel (2 per multiply-add),
// on every device, meta included. The one source for `info`, `bench` and the share of peak in the step line.
#pragma once

namespace rmoe {

namespace detail {
inline thread_local double flops = 0;
}

inline void count_flops(double n) { detail::flops += n; }
inline double flops_counted() { return detail::flops; }

/// What is asked for while it lives is done a second time, and not counted in the end.
class UncountedFlops {
 public:
  UncountedFlops() = default;
  ~UncountedFlops() { detail::flops = before_; }
  UncountedFlops(const UncountedFlops&) = delete;

 private:
  double before_ = flops_counted();
};

}  // namespace rmoe
