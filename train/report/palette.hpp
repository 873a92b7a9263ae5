// Colours as classes of the style sheet, for both themes. Categories (.s0 .. .s6) follow Okabe and Ito, moved
// apart for readers who see two primaries only; the sequence (.q0 .. .q31) runs in equal steps of OKLab from
// the paper to the ink.
#pragma once

#include <array>
#include <string>

namespace rmoe::report {

struct Color {
  double red, green, blue;  // sRGB, 0 to 1
};

enum class Theme { light, dark };

inline constexpr int kLevels = 32;
inline constexpr int kCategories = 7;

Color background(Theme theme);
Color category_color(int category, Theme theme);
/// Of a sequence level, from nothing much to the most.
Color level_color(int level, Theme theme);
/// Black or white, whichever reads better on it: never below 4.5 : 1, as the contrasts of the two multiply
/// to 21.
Color text_on(const Color& color);
double contrast(const Color& a, const Color& b);  // WCAG 2
/// Lightness, green-red, blue-yellow. Ottosson 2020
std::array<double, 3> oklab(const Color& color);

/// #0072b2
std::string hex(const Color& color);
/// Which level shows `value` on a scale from low to high; values outside take the ends.
int level_of(double value, double low, double high);
/// ":root" variables of one theme: --s0, --q0 (fill) and --t0 (text on it), ...
std::string color_variables(Theme theme);
/// The classes that use them.
std::string color_classes();

}  // namespace rmoe::report
