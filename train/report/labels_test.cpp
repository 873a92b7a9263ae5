#include "train/report/labels.hpp"

#include <algorithm>
#include <doctest/doctest.h>

namespace rmoe::report::test {
using Values = std::vector<double>;

TEST_CASE("report: labels that want one place are moved apart around it, and no others move") {
  CHECK(spread_out({10, 10}, 4, 0, 100) == Values{8, 12});
  CHECK(spread_out({50, 10, 10, 90}, 4, 0, 100) == Values{50, 8, 12, 90});
  CHECK(spread_out({10, 30}, 4, 0, 100) == Values{10, 30});
  CHECK(spread_out({}, 4, 0, 100).empty());
}

TEST_CASE("report: spread labels keep their order, their gap and their bounds") {
  const Values wanted = {99, 3, 98, 98.5, 0, 50, 51, 100};
  const Values placed = spread_out(wanted, 11, 0, 100);
  for (size_t i = 0; i < wanted.size(); ++i)
    for (size_t k = 0; k < wanted.size(); ++k)
      if (wanted[i] < wanted[k]) CHECK(placed[k] - placed[i] >= 11 - 1e-9);
  CHECK(std::ranges::min(placed) >= 0);
  CHECK(std::ranges::max(placed) <= 100 + 1e-9);
}

TEST_CASE("report: labels without room for their gap share it evenly") {
  CHECK(spread_out({5, 5, 5}, 20, 0, 10) == Values{0, 5, 10});
}

TEST_CASE("report: long texts are shortened between characters and wrapped between words") {
  CHECK(shortened("rmoe", 12, 100) == "rmoe");
  const std::string cut = shortened("größer größer größer", 12, 60);
  CHECK(cut.ends_with("…"));
  CHECK(text_width(cut, 12) <= 60);
  CHECK(shortened("ööö", 12, 18) == "ö…");  // not half an ö
  const auto lines = wrapped("Deeper models gain  more", 14, 100);
  CHECK(lines == std::vector<std::string>{"Deeper", "models gain", "more"});
  CHECK(wrapped("", 14, 110).empty());
  CHECK(wrapped("unbreakablewordthatistoolong", 14, 60).size() == 1);
}

}  // namespace rmoe::report::test
