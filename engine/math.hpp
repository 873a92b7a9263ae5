// Scalar functions that the compiler turns into vector code inside a loop. The float versions are branch-free
// polynomials, good to about 2 units in the last place; double goes to the C library (gradient checks need
// the digits).
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

namespace rmoe::math {

inline double exp(double x) { return std::exp(x); }

/// exp(x) = 2^n e^r, n = round(x / ln 2), |r| <= ln(2) / 2; Cephes' polynomial. Saturates instead of
/// overflowing: x is clamped to [-87, 88]. NaN passes through.
inline float exp(float x) {
  const float kept = x < -87.0f ? -87.0f : (x > 88.0f ? 88.0f : x);
  const float shifted =
      kept * 1.44269504f + 12582912.0f;  // 1.5 * 2^23: the low bits now hold the rounded integer
  const float n = shifted - 12582912.0f;
  const float r = (kept - n * 0.693359375f) + n * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  // 2^n from its exponent bits. A product, because adding n to the bits of p turns some NaNs into numbers.
  return p * std::bit_cast<float>((std::bit_cast<uint32_t>(shifted) + 127u) << 23);
}

template <class T>
T sigmoid(T x) {
  return T(1) / (T(1) + exp(-x));
}

inline double tanh(double x) { return std::tanh(x); }

inline float tanh(float x) {
  const float a = std::fabs(x), z = x * x;
  const float large = std::copysign(1.0f - 2.0f / (1.0f + exp(2.0f * a)), x);
  float p = -5.70498872745e-3f;
  p = p * z + 2.06390887954e-2f;
  p = p * z - 5.37397155531e-2f;
  p = p * z + 1.33314422036e-1f;
  p = p * z - 3.33332819422e-1f;
  const float small = p * z * x + x;
  return a < 0.625f ? small : large;
}

inline double erfc(double x) { return std::erfc(x); }

/// erfc(|x|) = e^-x^2 p(w) / (|x| + 3), w = (|x| - 3) / (|x| + 3), with p a minimax fit for |x| <= 10. Keeps
/// the digits of the upper tail: relative error 5e-7 up to x = 2, growing with x^2 to 4e-6 at 9.
inline float erfc(float x) {
  const float a = std::fabs(x), r = 1.0f / (a + 3.0f), w = 1.0f - 6.0f * r;
  float p = -3.265762061e-4f;
  p = p * w - 4.855798325e-4f;
  p = p * w + 3.079789924e-3f;
  p = p * w - 1.225212938e-3f;
  p = p * w - 2.683934756e-2f;
  p = p * w + 1.195288673e-1f;
  p = p * w - 3.104660809e-1f;
  p = p * w + 5.902283192e-1f;
  p = p * w - 8.833944798e-1f;
  p = p * w + 1.074006915f;
  const float tail = p * r * exp(-a * a);
  return x < 0.0f ? 2.0f - tail : tail;
}

}  // namespace rmoe::math
