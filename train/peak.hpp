// How fast this machine could multiply matrices at best.
#pragma once

namespace rmoe {

/// FLOP/s of fp32 multiply-adds on data in registers, on all of thread_count() threads. Takes about 50 ms; no
/// matrix product in fp32 can be faster, so it is what "share of peak" is a share of.
double measure_gemm_peak();

}  // namespace rmoe
