#include "train/report/palette.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <numbers>

namespace rmoe::report {
namespace {

using Lab = std::array<double, 3>;

double linear(double v) { return v <= 0.04045 ? v / 12.92 : std::pow((v + 0.055) / 1.055, 2.4); }
double gamma(double v) { return v <= 0.0031308 ? 12.92 * v : 1.055 * std::pow(v, 1 / 2.4) - 0.055; }

double luminance(const Color& c) {
  return 0.2126 * linear(c.red) + 0.7152 * linear(c.green) + 0.0722 * linear(c.blue);
}

constexpr Color rgb(unsigned hex) {
  return {(hex >> 16) / 255.0, (hex >> 8 & 0xFF) / 255.0, (hex & 0xFF) / 255.0};
}

Color from_oklab(const Lab& lab) {
  const auto cube = [](double v) { return v * v * v; };
  const double l = cube(lab[0] + 0.3963377774 * lab[1] + 0.2158037573 * lab[2]);
  const double m = cube(lab[0] - 0.1055613458 * lab[1] - 0.0638541728 * lab[2]);
  const double s = cube(lab[0] - 0.0894841775 * lab[1] - 1.2914855480 * lab[2]);
  const auto channel = [](double v) { return std::clamp(gamma(std::clamp(v, 0.0, 1.0)), 0.0, 1.0); };
  return {channel(4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s),
          channel(-1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s),
          channel(-0.0041960863 * l - 0.7034186147 * m + 1.7076147010 * s)};
}

/// Lightness, chroma, hue in degrees.
Lab polar(double lightness, double chroma, double hue) {
  const double angle = hue * std::numbers::pi / 180;
  return {lightness, chroma * std::cos(angle), chroma * std::sin(angle)};
}

double distance(const Lab& a, const Lab& b) { return std::hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2]); }

/// The point at `share` of the length of the line through `stops`: equal shares are equal steps for the eye.
Lab along(const std::array<Lab, 4>& stops, double share) {
  double length = 0;
  for (size_t i = 1; i < stops.size(); ++i) length += distance(stops[i - 1], stops[i]);
  double left = share * length;
  for (size_t i = 1; i < stops.size(); ++i) {
    const double piece = distance(stops[i - 1], stops[i]);
    if (left <= piece || i + 1 == stops.size()) {
      Lab p = stops[i - 1];
      for (size_t k = 0; k < 3; ++k) p[k] += (stops[i][k] - p[k]) * std::min(1.0, left / piece);
      return p;
    }
    left -= piece;
  }
  return stops.back();
}

constexpr std::array<Color, kCategories> kOnLight = {
    rgb(0x1F4FA8), rgb(0xD2401A), rgb(0x0B857A), rgb(0xDB5BB5), rgb(0xC28812), rgb(0x2E97E5), rgb(0x22243A)};
constexpr std::array<Color, kCategories> kOnDark = {
    rgb(0x7AA2FF), rgb(0xF2502E), rgb(0x119A82), rgb(0xFFB5C8), rgb(0xC9B92A), rgb(0x7A5DC0), rgb(0xF4F4DC)};

}  // namespace

Color background(Theme theme) { return theme == Theme::light ? rgb(0xFFFFFF) : rgb(0x15171B); }

Color category_color(int category, Theme theme) {
  return (theme == Theme::light ? kOnLight : kOnDark)[size_t(category % kCategories)];
}

Color level_color(int level, Theme theme) {
  static const std::array<Lab, 4> pale_to_deep = {polar(0.965, 0.02, 170), polar(0.76, 0.10, 190),
                                                  polar(0.52, 0.11, 245), polar(0.29, 0.11, 285)};
  static const std::array<Lab, 4> deep_to_bright = {polar(0.26, 0.05, 280), polar(0.46, 0.10, 255),
                                                    polar(0.70, 0.11, 195), polar(0.93, 0.11, 115)};
  const double share = std::clamp(double(level) / (kLevels - 1), 0.0, 1.0);
  return from_oklab(along(theme == Theme::light ? pale_to_deep : deep_to_bright, share));
}

double contrast(const Color& a, const Color& b) {
  const auto [dark, bright] = std::minmax({luminance(a), luminance(b)});
  return (bright + 0.05) / (dark + 0.05);
}

Color text_on(const Color& color) {
  const Color black = rgb(0x000000), white = rgb(0xFFFFFF);
  return contrast(color, white) > contrast(color, black) ? white : black;
}

std::array<double, 3> oklab(const Color& color) {
  const double r = linear(color.red), g = linear(color.green), b = linear(color.blue);
  const double l = std::cbrt(0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b);
  const double m = std::cbrt(0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b);
  const double s = std::cbrt(0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b);
  return {0.2104542553 * l + 0.7936177850 * m - 0.0040720468 * s,
          1.9779984951 * l - 2.4285922050 * m + 0.4505937099 * s,
          0.0259040371 * l + 0.7827717662 * m - 0.8086757660 * s};
}

std::string hex(const Color& color) {
  const auto byte = [](double v) { return int(std::lround(255 * v)); };
  return fmt::format("#{:02x}{:02x}{:02x}", byte(color.red), byte(color.green), byte(color.blue));
}

int level_of(double value, double low, double high) {
  if (!(high > low)) return kLevels / 2;
  return int(std::lround(std::clamp((value - low) / (high - low), 0.0, 1.0) * (kLevels - 1)));
}

std::string color_variables(Theme theme) {
  std::string css;
  for (int i = 0; i < kCategories; ++i) css += fmt::format("--s{}:{};", i, hex(category_color(i, theme)));
  for (int i = 0; i < kLevels; ++i) {
    const Color color = level_color(i, theme);
    css += fmt::format("--q{}:{};--t{}:{};", i, hex(color), i, hex(text_on(color)));
  }
  return css;
}

std::string color_classes() {
  std::string css;
  for (int i = 0; i < kCategories; ++i) css += fmt::format(".s{0}{{--c:var(--s{0})}}", i);
  for (int i = 0; i < kLevels; ++i)
    css += fmt::format(".q{0}{{fill:var(--q{0})}}.chart .t{0}{{fill:var(--t{0})}}", i);
  return css;
}

}  // namespace rmoe::report
