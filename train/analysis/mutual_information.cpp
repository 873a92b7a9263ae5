#include "train/analysis/mutual_information.hpp"

#include "engine/reduce.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>

namespace rmoe {
namespace {

/// Sets of experts as bits.
using Word = uint64_t;
constexpr int64_t kWordBits = 64;

/// floor(100 p) is exact: 100 p has at most 31 bits, a double has 53.
uint8_t bin_of(float p) {
  if (p >= 1) return kScoreBins - 1;
  return p > 0 ? uint8_t(double(p) * kScoreBins) : 0;
}

/// One token in one layer: set n holds the experts whose score lies in the bin of expert n's.
void sets_of_equals(Word* sets, uint8_t* bins, const float* p, int64_t E, int64_t words) {
  for (int64_t e = 0; e < E; ++e) bins[e] = bin_of(p[e]);
  for (int64_t n = 0; n < E; ++n)
    for (int64_t w = 0; w < words; ++w) {
      const int64_t begin = w * kWordBits, count = std::min(kWordBits, E - begin);
      Word set = 0;
      for (int64_t m = 0; m < count; ++m) set |= Word(bins[begin + m] == bins[n]) << m;
      sets[n * words + w] = set;
    }
}

/// sum_n ln |a_n and b_n|; logs[c] = ln c. Every a_n and b_n holds n itself.
double sum_of_logs(const Word* a, const Word* b, int64_t E, int64_t words, const double* logs) {
  double sum = 0;
  for (int64_t n = 0; n < E; ++n) {
    int common = 0;
    for (int64_t w = 0; w < words; ++w) common += std::popcount(a[n * words + w] & b[n * words + w]);
    sum += logs[common];
  }
  return sum;
}

/// The work space of one thread, and what it does with a token.
class TokenPairs {
 public:
  TokenPairs(int64_t layers, int64_t E, const double* logs)
      : layers_(layers),
        E_(E),
        words_((E + kWordBits - 1) / kWordBits),
        logs_(logs),
        bins_(E),
        sets_(layers * E * words_),
        own_(layers) {}

  /// Adds the token's mutual information to `sums`, pair by pair. With c_x(n) the number of experts in the
  /// bin of expert n:  I = (1/E) sum_n ln(E c_ab(n) / (c_a(n) c_b(n))), so that no table of bins is needed.
  void add(double* sums, const std::vector<const float*>& probs, int64_t token) {
    for (int64_t i = 0; i < layers_; ++i) {
      sets_of_equals(sets(i), bins_.data(), probs[i] + token * E_, E_, words_);
      own_[i] = sum_of_logs(sets(i), sets(i), E_, words_, logs_);
    }
    for (int64_t i = 0; i < layers_; ++i)
      for (int64_t j = 0; j < i; ++j) {
        const double both = sum_of_logs(sets(i), sets(j), E_, words_, logs_);
        *sums++ += std::max(0.0, logs_[E_] + (both - own_[i] - own_[j]) / double(E_));
      }
  }

 private:
  Word* sets(int64_t layer) { return sets_.data() + layer * E_ * words_; }

  int64_t layers_, E_, words_;
  const double* logs_;
  std::vector<uint8_t> bins_;
  std::vector<Word> sets_;   // [layers,E,words]
  std::vector<double> own_;  // of one layer: sum_n ln c(n)
};

}  // namespace

void MutualInformation::add(const std::vector<Tensor>& probs) {
  if (layers_ == 0) {
    layers_ = int64_t(probs.size());
    sums_.resize(layers_ * (layers_ - 1) / 2);
  }
  RMOE_CHECK(layers_ > 0 && int64_t(probs.size()) == layers_, "mutual information: probabilities of ",
             probs.size(), " layers, wanted ", layers_);
  const int64_t N = probs[0].dim(0), E = probs[0].dim(1);
  std::vector<double> logs(E + 1);
  for (int64_t c = 1; c <= E; ++c) logs[c] = std::log(double(c));
  std::vector<Tensor> floats;
  std::vector<const float*> data;
  for (const Tensor& p : probs) {
    RMOE_CHECK(p.shape() == probs[0].shape(), "mutual information: probabilities ", p.shape(), ", wanted ",
               probs[0].shape());
    floats.push_back(to(p, DType::f32));
    data.push_back(floats.back().data<float>());
  }
  reduce_rows<double>(N, int64_t(sums_.size()), sums_.data(), 1.0,
                      [&](int64_t begin, int64_t end, double* partial) {
                        TokenPairs pairs(layers_, E, logs.data());
                        for (int64_t token = begin; token < end; ++token) pairs.add(partial, data, token);
                      });
  tokens_ += N;
}

std::vector<std::vector<double>> MutualInformation::matrix() const {
  std::vector<std::vector<double>> rows(layers_);
  auto sum = sums_.begin();
  for (int64_t i = 0; i < layers_; ++i)
    for (int64_t j = 0; j < i; ++j) rows[i].push_back(*sum++ / double(tokens_));
  return rows;
}

double MutualInformation::mean() const {
  if (sums_.empty()) return 0;
  return std::accumulate(sums_.begin(), sums_.end(), 0.0) / double(tokens_) / double(sums_.size());
}

}  // namespace rmoe
