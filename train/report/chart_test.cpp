#include "train/report/chart.hpp"

#include "train/report/frame.hpp"
#include "train/report/labels.hpp"
#include "train/report/palette.hpp"
#include "train/report/test_markup.hpp"

#include <algorithm>
#include <cmath>
#include <doctest/doctest.h>
#include <numeric>

namespace rmoe::report::test {
namespace {

using Values = std::vector<double>;

const std::vector<std::string> kHardNames = {"",
                                             "a",
                                             "rmoe-np-r0.5-detach",
                                             "a <name> & \"more\"",
                                             "one name that is much longer than any chart has room for it",
                                             "größer",
                                             "層"};

/// Values that break charts: none, one, equal, gaps, overflow, underflow.
const std::vector<Values> kHardValues = {{},
                                         {5},
                                         {NAN},
                                         {3, 3, 3},
                                         {0, 0},
                                         {NAN, 1, NAN, 2, 3, INFINITY},
                                         {1e308, -1e308, 1},
                                         {1e300, -1e300},
                                         {1e-320, 2e-320},
                                         {1e16, 1e16 + 2},
                                         {-1, -2.5, -7},
                                         {1e-7, 2e9}};

/// Checks what holds for every chart and returns its elements: it parses, it has no number that is none, at
/// most two decimals in any coordinate, and all its texts lie inside its picture.
std::vector<Element> checked(const std::string& markup) {
  std::vector<Element> elements = parse(markup);
  double width = 0, height = 0;
  for (const Element& e : elements) {
    if (e.looks("chart")) width = e.number("width"), height = e.number("height");
    for (const char* name : {"x", "y", "width", "height", "x1", "x2", "y1", "y2"})
      if (e.attributes.contains(name)) CHECK(std::isfinite(e.number(name)));
    for (const char* name : {"width", "height"})
      if (e.attributes.contains(name)) CHECK(e.number(name) >= 0);
    for (const auto& [name, value] : e.attributes) {
      if (name == "aria-label") continue;
      CHECK_MESSAGE(value.find("nan") == std::string::npos, value);
      CHECK_MESSAGE(value.find("inf") == std::string::npos, value);
      for (size_t dot = value.find('.'); dot != value.npos; dot = value.find('.', dot + 1))
        CHECK_MESSAGE(std::min(value.find_first_not_of("0123456789", dot + 1), value.size()) - dot <= 3,
                      value);
    }
    if (e.tag != "text" || e.attributes.contains("transform")) continue;
    const double size = e.looks("title")                       ? kTitleSize
                        : e.looks("cell") || e.looks("number") ? kCellSize
                                                               : kTextSize;
    const double wide = text_width(e.text.find('&') == std::string::npos ? e.text : "", size);
    const double left = e.number("x") - (e.looks("end") ? wide : e.looks("middle") ? wide / 2 : 0);
    CHECK_MESSAGE(left >= -4, e.text);
    CHECK_MESSAGE(left + wide <= width + 4, e.text);
    CHECK_MESSAGE(e.number("y") > 8, e.text);
    CHECK_MESSAGE(e.number("y") < height - 3, e.text);
  }
  return elements;
}

std::vector<Element> select(const std::vector<Element>& elements, const std::string& look) {
  std::vector<Element> found;
  for (const Element& e : elements)
    if (e.looks(look)) found.push_back(e);
  return found;
}

/// How often `text` is in the picture.
int64_t written(const std::vector<Element>& elements, const std::string& text) {
  return std::ranges::count_if(elements, [&](const Element& e) { return e.tag == "text" && e.text == text; });
}

Values counting(size_t n) {
  Values x(n);
  std::iota(x.begin(), x.end(), 1);
  return x;
}

/// The first drawing of a figure, the narrow one.
std::string narrow(const std::string& figure) {
  return figure.substr(0, figure.find("<svg class=\"chart wide"));
}

}  // namespace

TEST_CASE("report: line charts stand any data and any names") {
  for (const Values& y : kHardValues)
    for (const std::string& name : kHardNames) {
      Series plain{name, counting(y.size()), y};
      Series band{"b", y, y, y, y};
      checked(svg(LineChart{name, name, name, {plain, band}}));
      checked(svg(LineChart{"", "", "", {plain}, 0, 1}));
    }
  checked(svg(LineChart{}));
}

TEST_CASE("report: bar charts stand any data and any names") {
  for (const Values& v : kHardValues)
    for (const std::string& name : kHardNames) {
      BarChart chart{name, name, std::vector<std::string>(v.size(), name), {{name, v}, {"b", v, v}}};
      checked(svg(chart));
      chart.high = 1;
      checked(svg(chart));
    }
  checked(svg(BarChart{}));
}

TEST_CASE("report: heat maps stand any data and any names") {
  for (const Values& v : kHardValues)
    for (const std::string& name : kHardNames) {
      const std::vector<std::string> columns(v.size(), name);
      if (std::ranges::none_of(v, [](double x) { return std::abs(x) > 1e6; }))
        checked(svg(Heatmap{name, name, name, {name, "b"}, columns, {v, v}}));
    }
  checked(svg(Heatmap{}));
}

TEST_CASE("report: ridges stand any data and any names") {
  for (const Values& y : kHardValues)
    for (const std::string& name : kHardNames) {
      checked(svg(Ridges{name, name, {{name, counting(y.size()), y}, {"b", counting(y.size()), y}}}));
      checked(svg(Ridges{"", "", {{name, Values(y.size(), 3), y}}, 0, 1}));
    }
  checked(svg(Ridges{}));
}

TEST_CASE("report: lines that end at one point have labels that do not touch") {
  LineChart chart{"t", "x", "y", {}};
  for (const char* name : {"smoe", "rmoe", "rmoe-np", "xmoe", "hyper"})
    chart.series.push_back({name, {1, 2}, {5, 3}});
  const auto names = select(checked(narrow(svg(chart))), "name");
  REQUIRE(names.size() == 5);
  for (size_t i = 0; i < 5; ++i)
    for (size_t k = 0; k < i; ++k) CHECK(std::abs(names[i].number("y") - names[k].number("y")) >= 14);
}

TEST_CASE("report: names too long for the end of a line go to a legend") {
  LineChart chart{
      "t", "x", "y", {{"a name that is long enough to leave no plot", {1, 2}, {5, 3}}, {"b", {1}, {2}}}};
  const auto elements = checked(narrow(svg(chart)));
  CHECK(select(elements, "leader").empty());
  CHECK(written(elements, "b") == 1);
}

TEST_CASE("report: a gap stays a gap, a point between gaps is seen, a series without data is named") {
  LineChart chart{"t", "x", "y", {{"a", counting(5), {1, 2, NAN, 4, NAN}}, {"lost", {1, 2}, {NAN, NAN}}}};
  const auto elements = checked(narrow(svg(chart)));
  const std::string d = select(elements, "line").at(0).attribute("d");
  CHECK(std::ranges::count(d, 'M') == 2);
  CHECK(select(elements, "marker").size() == 3);
  CHECK(written(elements, "lost: no data") == 1);
}

TEST_CASE("report: a long curve is drawn with two points a pixel and keeps its peaks and its gaps") {
  Values y(100000, 1.0);
  y[70001] = 9;
  std::fill(y.begin() + 20000, y.begin() + 30000, NAN);
  const std::string markup = narrow(svg(LineChart{"t", "step", "loss", {{"", counting(y.size()), y}}}));
  CHECK(markup.size() < 30000);
  const std::string d = select(checked(markup), "line").at(0).attribute("d");
  CHECK(std::ranges::count(d, 'M') == 2);
  Values peak = y;
  peak[70001] = 1;
  CHECK(markup != narrow(svg(LineChart{"t", "step", "loss", {{"", counting(y.size()), peak}}})));
}

TEST_CASE("report: few places on the x axis are named themselves") {
  const auto elements =
      checked(svg(LineChart{"t", "layers", "y", {{"a", {6, 12, 18, 24, 32}, counting(5)}}}));
  for (const char* place : {"6", "12", "18", "24", "32"}) CHECK(written(elements, place) == 2);
}

TEST_CASE("report: bars lie down where the names of the groups need it") {
  const auto texts = [](const BarChart& chart, const std::string& name) {
    for (const Element& e : checked(narrow(svg(chart))))
      if (e.text == name) return e.attribute("class");
    return std::string("not there");
  };
  CHECK(texts({"t", "y", {"smoe", "rmoe"}, {{"", {1, 2}}}}, "rmoe") == "muted middle");
  CHECK(texts({"t", "y", {"rmoe", "rmoe-detach", "rmoe-shared-proj"}, {{"", {1, 2, 3}}}}, "rmoe-detach") ==
        "end");
}

TEST_CASE("report: a bar is as long as its value, from zero") {
  const auto bars =
      select(checked(narrow(svg(BarChart{"t", "y", {"a", "b", "c"}, {{"", {4, 2, -2}}}}))), "bar");
  REQUIRE(bars.size() == 3);
  CHECK(bars[0].number("height") == doctest::Approx(2 * bars[1].number("height")));
  CHECK(bars[2].number("height") == doctest::Approx(bars[1].number("height")));
  CHECK(bars[2].number("y") == doctest::Approx(bars[0].number("y") + bars[0].number("height")));
}

TEST_CASE("report: a heat map leaves a cell without a value blank and shares its scale") {
  const Heatmap map{"t", "i", "j", {"1", "2"}, {"1", "2"}, {{0.5, NAN}, {1, 0}}, 0, 1};
  const auto elements = checked(svg(map));
  CHECK(select(elements, "cell").size() == 3);
  CHECK(select(elements, "cell").at(1).text == "1.00");
  CHECK(select(elements, "t31").size() == 1);
  Heatmap other = map;
  other.high = 2;
  CHECK(select(checked(svg(other)), "t16").size() == 1);
}

TEST_CASE("report: a heat map of many columns drops its numbers on a phone only") {
  Heatmap map{"t", "layer", "expert", {"1"}, {}, {{}}};
  for (int e = 0; e < 16; ++e) map.columns.push_back(std::to_string(e)), map.values[0].push_back(e / 16.);
  const std::string figure = svg(map);
  CHECK(select(checked(narrow(figure)), "cell").empty());
  CHECK(select(checked(figure), "cell").size() == 16);
}

TEST_CASE("report: the median of a ridge halves its area") {
  const auto median = [](const Values& x, const Values& y) {
    for (const Element& e : parse(svg(Ridges{"t", "x", {{"row", x, y}}})))
      if (e.looks("chart")) return e.attribute("aria-label");
    return std::string();
  };
  CHECK(median({0, 1, 2}, {0, 1, 0}) == "Distributions: t. row median 1");
  CHECK(median({0, 1}, {1, 1}) == "Distributions: t. row median 0.5");
  CHECK(median({0, 1}, {0, 1}) == "Distributions: t. row median 0.7071");
}

TEST_CASE("report: equal charts have equal bytes") {
  const LineChart chart{"t", "x", "y", {{"a", {1, 2, 3}, {0.1, 0.7, NAN}}}};
  CHECK(svg(chart) == svg(LineChart(chart)));
}

TEST_CASE("report: charts refuse data that do not fit together") {
  CHECK_THROWS_WITH(svg(LineChart{"", "", "", {{"a", {1}, {}}}}), "line chart: series 'a' has 1 x and 0 y");
  CHECK_THROWS_WITH(svg(LineChart{"", "", "", {{"a", {1}, {1}, {0}, {}}}}),
                    "line chart: the band of series 'a' has 1 low and 0 high for 1 y");
  CHECK_THROWS_WITH(svg(BarChart{"", "", {"g"}, {{"a", {}}}}), "bar chart: 'a' has 0 values for 1 groups");
  CHECK_THROWS_WITH(svg(Heatmap{"", "", "", {"r"}, {"c"}, {{}}}),
                    "heat map: row 'r' has 0 values for 1 columns");
  CHECK_THROWS_WITH(svg(Ridges{"", "", {{"a", {2, 1}, {1, 1}}}}),
                    "ridges: row 'a' wants as many y (2) as rising x (2)");
}

}  // namespace rmoe::report::test
