#include "data/shards/mixture.hpp"

#include "engine/error.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

namespace rmoe {
namespace {

constexpr int64_t kOne = int64_t{1} << 32;

}  // namespace

Mixture::Mixture(std::span<const double> weights) : taken_(weights.size()) {
  RMOE_CHECK(!weights.empty(), "mixture: no sources");
  for (const double w : weights)
    RMOE_CHECK(std::isfinite(w) && w > 0, "mixture: weight ", w, " is not a positive number");
  const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
  int64_t left = kOne;
  for (const double w : weights) {
    weights_.push_back(std::max<int64_t>(std::llround(w / sum * double(kOne)), 1));
    left -= weights_.back();
  }
  *std::ranges::max_element(weights_) += left;  // what rounding left over: at most one unit a source
}

int64_t Mixture::deficit(size_t source, int64_t n) const {
  return int64_t(uint64_t(weights_[source]) * uint64_t(n) - uint64_t(taken_[source]) * uint64_t(kOne));
}

/// Tijdeman's rule for the chairman assignment problem (Discrete Mathematics 32, 1980): among the sources
/// that are far enough behind, the one that must come next soonest. It keeps every deficit within 1 - 1/(2S -
/// 2).
int64_t Mixture::next() {
  const int64_t S = int64_t(weights_.size()), n = ++samples_;
  const int64_t slack = S > 1 ? kOne / (2 * S - 2) : 0;
  int64_t best = -1;
  double earliest = 0;
  for (int64_t s = 0; s < S; ++s) {
    const int64_t behind = deficit(size_t(s), n);
    if (behind < slack) continue;
    const double deadline = double(kOne - slack - behind) / double(weights_[size_t(s)]);
    if (best < 0 || deadline < earliest) best = s, earliest = deadline;
  }
  RMOE_CHECK(best >= 0, "mixture: no source is due at sample ", n);
  ++taken_[size_t(best)];
  return best;
}

void Mixture::seek(std::vector<int64_t> taken) {
  RMOE_CHECK(taken.size() == weights_.size(), "mixture: a cursor of ", taken.size(), " sources, wanted ",
             weights_.size());
  const std::vector<int64_t> before = std::exchange(taken_, std::move(taken));
  int64_t samples = 0;
  bool possible = true;
  for (const int64_t count : taken_) {
    possible &= count >= 0 && count < int64_t{1} << 48;
    samples += possible ? count : 0;
  }
  for (size_t s = 0; possible && s < taken_.size(); ++s) {
    const double behind = double(weights_[s]) / double(kOne) * double(samples) - double(taken_[s]);
    possible = std::fabs(behind) < 1.5;  // a double's rounding beside the bound of 1
  }
  if (!possible) {
    taken_ = before;
    fail("mixture: a cursor that does not belong to these weights");
  }
  samples_ = samples;
}

}  // namespace rmoe
