#include "train/report/palette.hpp"

#include <algorithm>
#include <cmath>
#include <doctest/doctest.h>

namespace rmoe::report::test {
namespace {

constexpr Theme kThemes[] = {Theme::light, Theme::dark};

double distance(const Color& a, const Color& b) {
  const auto p = oklab(a), q = oklab(b);
  return std::hypot(p[0] - q[0], p[1] - q[1], p[2] - q[2]);
}

double linear(double v) { return v <= 0.04045 ? v / 12.92 : std::pow((v + 0.055) / 1.055, 2.4); }
double gamma(double v) { return v <= 0.0031308 ? 12.92 * v : 1.055 * std::pow(v, 1 / 2.4) - 0.055; }

using Matrix = double[3][3];
// Machado, Oliveira, Fernandes 2009, severity 1, on linear RGB.
constexpr Matrix kDeuteranopia = {
    {0.367322, 0.860646, -0.227968}, {0.280085, 0.672501, 0.047413}, {-0.011820, 0.042940, 0.968881}};
constexpr Matrix kProtanopia = {
    {0.152286, 1.052583, -0.204868}, {0.114503, 0.786281, 0.099216}, {-0.003882, -0.048116, 1.051998}};

Color seen_with(const Matrix& m, const Color& c) {
  const double in[3] = {linear(c.red), linear(c.green), linear(c.blue)};
  double out[3];
  for (int i = 0; i < 3; ++i)
    out[i] = gamma(std::clamp(m[i][0] * in[0] + m[i][1] * in[1] + m[i][2] * in[2], 0.0, 1.0));
  return {out[0], out[1], out[2]};
}

}  // namespace

TEST_CASE("report: contrast is that of WCAG") {
  CHECK(contrast({0, 0, 0}, {1, 1, 1}) == doctest::Approx(21));
  CHECK(contrast({119 / 255., 119 / 255., 119 / 255.}, {1, 1, 1}) == doctest::Approx(4.48).epsilon(0.002));
  CHECK(hex({0, 114 / 255., 178 / 255.}) == "#0072b2");
}

TEST_CASE("report: text in the cells of a heat map reads: 4.5 to 1 on every level of both themes") {
  for (const Theme theme : kThemes)
    for (int level = 0; level < kLevels; ++level) {
      const Color color = level_color(level, theme);
      CHECK(contrast(text_on(color), color) >= 4.5);
    }
}

TEST_CASE("report: levels go away from the paper in steps that look equal") {
  for (const Theme theme : kThemes) {
    double least = 1, most = 0;
    for (int level = 1; level < kLevels; ++level) {
      const Color before = level_color(level - 1, theme), color = level_color(level, theme);
      least = std::min(least, distance(before, color));
      most = std::max(most, distance(before, color));
      CHECK(contrast(color, background(theme)) > contrast(before, background(theme)));
    }
    CHECK(most / least < 1.2);
  }
}

TEST_CASE(
    "report: categories stand out from the paper and from each other, for readers with two primaries too") {
  for (const Theme theme : kThemes)
    for (int i = 0; i < kCategories; ++i) {
      const Color a = category_color(i, theme);
      CHECK(contrast(a, background(theme)) >= 3);
      for (int k = 0; k < i; ++k) {
        const Color b = category_color(k, theme);
        CHECK(distance(a, b) >= 0.14);
        CHECK(distance(seen_with(kDeuteranopia, a), seen_with(kDeuteranopia, b)) >= 0.08);
        CHECK(distance(seen_with(kProtanopia, a), seen_with(kProtanopia, b)) >= 0.08);
      }
    }
}

TEST_CASE("report: a value has its level, the ends take what lies outside") {
  CHECK(level_of(0, 0, 1) == 0);
  CHECK(level_of(1, 0, 1) == kLevels - 1);
  CHECK(level_of(-5, 0, 1) == 0);
  CHECK(level_of(9, 0, 1) == kLevels - 1);
  CHECK(level_of(3, 3, 3) == kLevels / 2);
}

}  // namespace rmoe::report::test
