#include "engine/parallel.hpp"
#include "engine/scratch.hpp"
#include "ops/rope/kernels.hpp"

#include <algorithm>
#include <cmath>

namespace rmoe::cpu {
namespace {

constexpr int64_t kPositions = 32;

/// cos a_i and sin a_i of one position after the other, for all i < D/2. Only the first costs cosines: each
/// next one is a turn by theta^(-2i/D), in double, which loses 1e-16 per position.
template <class T>
class Phases {
 public:
  Phases(int64_t D, double theta, int64_t position, double direction)
      : half_(D / 2), state_(4 * half_), rounded_(2 * half_) {
    for (int64_t i = 0; i < half_; ++i) {
      const double turn = direction * std::pow(theta, -2.0 * double(i) / double(D));
      state_[i] = std::cos(turn * double(position));
      state_[half_ + i] = std::sin(turn * double(position));
      state_[2 * half_ + i] = std::cos(turn);
      state_[3 * half_ + i] = std::sin(turn);
    }
    round();
  }

  const T* cosines() const { return rounded_.data(); }
  const T* sines() const { return rounded_.data() + half_; }

  void advance() {
    double *c = state_.data(), *s = c + half_;
    const double *turn_c = s + half_, *turn_s = turn_c + half_;
    for (int64_t i = 0; i < half_; ++i) {
      const double before = c[i];
      c[i] = before * turn_c[i] - s[i] * turn_s[i];
      s[i] = s[i] * turn_c[i] + before * turn_s[i];
    }
    round();
  }

 private:
  void round() {
    for (int64_t i = 0; i < 2 * half_; ++i) rounded_[i] = T(state_[i]);
  }

  int64_t half_;
  Scratch<double> state_;  // cosines, sines; cosines and sines of the turn from one position to the next
  Scratch<T> rounded_;
};

/// One head: y = beta y + x turned, with beta 0 or 1.
template <class T>
void turn_head(T* y, const T* x, const T* cosines, const T* sines, int64_t half, double beta) {
#pragma omp simd
  for (int64_t i = 0; i < half; ++i) {
    const T low = x[i] * cosines[i] - x[half + i] * sines[i];
    const T high = x[half + i] * cosines[i] + x[i] * sines[i];
    y[i] = beta == 0 ? low : y[i] + low;
    y[half + i] = beta == 0 ? high : y[half + i] + high;
  }
}

template <class T>
void turn(T* y, const T* x, int64_t B, int64_t time, int64_t H, int64_t D, double theta, int64_t first,
          double direction, double beta) {
  const int64_t chunks = (time + kPositions - 1) / kPositions;
  parallel_for(B * chunks, [=](int64_t task) {
    const int64_t begin = task % chunks * kPositions, end = std::min(time, begin + kPositions);
    Phases<T> phases(D, theta, first + begin, direction);
    for (int64_t t = begin; t < end; ++t, phases.advance()) {
      const int64_t row = (task / chunks * time + t) * H * D;
      for (int64_t h = 0; h < H; ++h)
        turn_head(y + row + h * D, x + row + h * D, phases.cosines(), phases.sines(), D / 2, beta);
    }
  });
}

}  // namespace

template <class T>
void rope_fwd(T* y, const T* x, int64_t B, int64_t time, int64_t H, int64_t D, double theta, int64_t first) {
  turn(y, x, B, time, H, D, theta, first, 1, 0);
}

template <class T>
void rope_bwd(T* dx, const T* dy, int64_t B, int64_t time, int64_t H, int64_t D, double theta, int64_t first,
              double beta) {
  turn(dx, dy, B, time, H, D, theta, first, -1, beta);
}

#define RMOE_INSTANTIATE(T)                                                                     \
  template void rope_fwd<T>(T*, const T*, int64_t, int64_t, int64_t, int64_t, double, int64_t); \
  template void rope_bwd<T>(T*, const T*, int64_t, int64_t, int64_t, int64_t, double, int64_t, double);

RMOE_INSTANTIATE(float)
RMOE_INSTANTIATE(double)

}  // namespace rmoe::cpu
