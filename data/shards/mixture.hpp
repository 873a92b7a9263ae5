// Which source a sample comes from, so that after any number of samples every source has had its share to
// within one sample.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace rmoe {

class Mixture {
 public:
  /// Positive weights; only their ratios matter.
  explicit Mixture(std::span<const double> weights);

  /// The source of the next sample.
  int64_t next();
  /// Samples each source has given.
  const std::vector<int64_t>& taken() const { return taken_; }
  /// Goes on from there. Counts that no run of this mixture leads to are an error.
  void seek(std::vector<int64_t> taken);

 private:
  /// weight * n - taken in units of 2^-32; exact, because it is small and 64 bits wrap around.
  int64_t deficit(size_t source, int64_t n) const;

  std::vector<int64_t> weights_, taken_;  // weights sum to 2^32
  int64_t samples_ = 0;
};

}  // namespace rmoe
