// The factors of a bf16 product: fp32 matrices rounded to pairs of neighbours along k.
#pragma once

#include "engine/gemm_kernel.hpp"

namespace rmoe::gemm_kernel {

/// A stored matrix [rows, columns] and where its pairs go, densely: [rows, columns / 2] if k runs along its
/// rows, else [rows / 2, columns]. What an odd k leaves over is paired with 0.
struct Rounding {
  Pair* to;
  const float* from;
  int64_t ld, rows, columns;
  bool along_rows;

  int64_t paired_rows() const { return along_rows ? rows : (rows + 1) / 2; }
  int64_t paired_columns() const { return along_rows ? (columns + 1) / 2 : columns; }
  int64_t size() const { return paired_rows() * paired_columns(); }
  /// Rows [begin, end) of the pairs.
  void run(int64_t begin, int64_t end) const;
};

}  // namespace rmoe::gemm_kernel
