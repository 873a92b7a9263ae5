#include "train/report/scale.hpp"

#include <cmath>
#include <doctest/doctest.h>

namespace rmoe::report::test {
using Values = std::vector<double>;
using Texts = std::vector<std::string>;

TEST_CASE("report: ticks stand at steps of 1, 2 or 5 and are the numbers they are written as") {
  CHECK(nice_ticks({0, 1}, 5) == Values{0, 0.2, 0.4, 0.6, 0.8, 1});
  CHECK(nice_ticks({0, 0.3}, 3) == Values{0, 0.1, 0.2, 0.3});
  CHECK(nice_ticks({1.083, 1.214}, 3) == Values{1.1, 1.15, 1.2});
  CHECK(nice_ticks({-7, 12}, 4) == Values{-5, 0, 5, 10});
  CHECK(nice_ticks({0, 80000}, 4) == Values{0, 20000, 40000, 60000, 80000});
}

TEST_CASE("report: an axis reaches to the next ticks, or to the data where that is far") {
  const Axis axis = nice_axis({1.083, 1.214}, 4);
  CHECK(axis.range.low == 1.05);
  CHECK(axis.range.high == 1.25);
  CHECK(axis.ticks == Values{1.05, 1.1, 1.15, 1.2, 1.25});
  CHECK(nice_axis({10, 59990}, 6, 0.04).range.high == 60000);
  CHECK(nice_axis({10, 52000}, 6, 0.04).range.high == 52000);
}

TEST_CASE("report: any range gives a few finite ticks") {
  for (const double size : {1e-300, 1e-30, 1e-3, 1.0, 12345.0, 1e30, 1e300})
    for (const double low : {-1.0, 0.0, 0.999999, 1.0})
      for (const int count : {0, 1, 3, 10}) {
        Range range;
        range.add(low * size);
        range.add(size);
        const Values ticks = nice_ticks(range.widened(), count);
        CHECK(ticks.size() <= size_t(2 * count + 3));
        for (const double t : ticks) CHECK(std::isfinite(t));
        CHECK(tick_labels(ticks).size() == ticks.size());
      }
}

TEST_CASE("report: a range leaves out what is not a number, and has room around a constant") {
  Range range;
  CHECK(range.widened().high == 1);
  for (const double v : Values{NAN, INFINITY, -INFINITY, 1e305}) range.add(v);
  CHECK(range.empty());
  range.add(40);
  CHECK(range.widened().low == 38);
  CHECK(range.widened().high == 42);
  CHECK(range.with(0, NAN).low == 0);
  CHECK(range.with(0, NAN).high == 40);
}

TEST_CASE("report: a scale keeps pixels within what a browser takes") {
  const Scale scale({0, 2}, 100, 0);
  CHECK(scale(0.5) == 75);
  CHECK(std::abs(scale(1e300)) == 1e5);
}

TEST_CASE("report: the labels of an axis have one unit and as few decimals as tell them apart") {
  CHECK(tick_labels({1.1, 1.15, 1.2}) == Texts{"1.10", "1.15", "1.20"});
  CHECK(tick_labels({-5, 0, 5}) == Texts{"−5", "0", "5"});
  CHECK(tick_labels({0, 5000}) == Texts{"0", "5000"});
  CHECK(tick_labels({0, 20000, 40000}) == Texts{"0", "20k", "40k"});
  CHECK(tick_labels({0, 5e5, 1e6}) == Texts{"0", "0.5M", "1.0M"});
  CHECK(tick_labels({0, 2e-4, 4e-4}) == Texts{"0", "2×10⁻⁴", "4×10⁻⁴"});
  CHECK(tick_labels({1e20, 2e20}) == Texts{"1×10²⁰", "2×10²⁰"});
  CHECK(tick_labels({}).empty());
}

TEST_CASE("report: numbers beside marks") {
  CHECK(value_labels({0.03104, 0.0044, NAN}) == Texts{"0.0310", "0.0044", "–"});
  CHECK(value_labels({12, 4}) == Texts{"12", "4"});
  CHECK(value_labels({36080000, 410000}) == Texts{"36.1M", "0.4M"});
  CHECK(value_text(1.23456) == "1.235");
  CHECK(value_text(-0.0007) == "−7×10⁻⁴");
  CHECK(value_text(INFINITY) == "–");
  CHECK(fixed_text(-0.001, 2) == "0.00");
  CHECK(fixed_text(-0.126, 2) == "−0.13");
}

}  // namespace rmoe::report::test
