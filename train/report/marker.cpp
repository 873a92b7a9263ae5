#include "train/report/marker.hpp"

#include <array>
#include <vector>

namespace rmoe::report {
namespace {

struct Point {
  double x, y;
};

std::vector<Point> turned(std::vector<Point> outline) {
  constexpr double kHalfRoot = 0.70710678;
  for (Point& p : outline) p = {kHalfRoot * (p.x - p.y), kHalfRoot * (p.x + p.y)};
  return outline;
}

std::vector<Point> circle() {  // of 16 corners: at this size no eye sees them
  std::vector<Point> points;
  constexpr std::array<double, 5> sine = {0, 0.38268343, 0.70710678, 0.92387953, 1};
  for (int i = 0; i < 16; ++i) {
    const int quarter = i / 4, k = i % 4;
    const double c = 3.8 * sine[size_t(4 - k)], s = 3.8 * sine[size_t(k)];
    points.push_back(quarter == 0   ? Point{c, s}
                     : quarter == 1 ? Point{-s, c}
                     : quarter == 2 ? Point{-c, -s}
                                    : Point{s, -c});
  }
  return points;
}

const std::array<std::vector<Point>, 7>& shapes() {
  static const std::vector<Point> square = {{-3.4, -3.4}, {3.4, -3.4}, {3.4, 3.4}, {-3.4, 3.4}};
  static const std::vector<Point> plus = {{-1.4, -4.6}, {1.4, -4.6}, {1.4, -1.4},  {4.6, -1.4},
                                          {4.6, 1.4},   {1.4, 1.4},  {1.4, 4.6},   {-1.4, 4.6},
                                          {-1.4, 1.4},  {-4.6, 1.4}, {-4.6, -1.4}, {-1.4, -1.4}};
  static const std::array<std::vector<Point>, 7> all = {circle(),
                                                        square,
                                                        {{0, -5}, {4.6, 3.4}, {-4.6, 3.4}},
                                                        turned(square),
                                                        {{0, 5}, {4.6, -3.4}, {-4.6, -3.4}},
                                                        turned(plus),
                                                        plus};
  return all;
}

}  // namespace

void draw_marker(Svg& svg, size_t index, double x, double y, std::string_view tooltip) {
  Path path;
  for (const Point& p : shapes()[index % shapes().size()]) path.draw(x + p.x, y + p.y);
  path.close();
  svg.path(path, "marker", tooltip);
}

}  // namespace rmoe::report
