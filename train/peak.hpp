// How fast this machine could multiply matrices at best.
#pragma once

#include "engine/device.hpp"
#include "engine/dtype.hpp"

namespace rmoe {

/// FLOP/s of fp32 multiply-adds on data in registers, on all of thread_count() threads. Takes about 20 ms; no
/// matrix product in fp32 can be faster, so it is what "share of peak" is a share of.
double measure_gemm_peak();

/// The same of a GPU, in whose registers nothing is measured: FLOP/s of the vendor's product of two large
/// matrices of this type. On the CPU measure_gemm_peak().
double measure_peak(Device device, DType dtype);

/// Bytes/s that all threads together read and write in a triad a = b + s c, over more memory than caches
/// hold. Takes about 0.1 s.
double measure_bandwidth();

}  // namespace rmoe
