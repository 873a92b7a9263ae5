#include "train/report/page.hpp"

#include "train/report/chart.hpp"
#include "train/report/svg_writer.hpp"
#include "train/report/test_markup.hpp"

#include <algorithm>
#include <cmath>
#include <doctest/doctest.h>

namespace rmoe::report::test {
namespace {

Page sample_page() {
  Page page("Routers & <layers>", "a \"subtitle\"");
  page.heading("1 < 2");
  page.paragraph("See https: no link is made of it. <script>alert('x')</script>");
  page.note("R&D");
  const std::string chart = svg(LineChart{"t", "x", "y", {{"a", {1, 2}, {3, 4}}}});
  page.figures({chart, chart, chart, chart}, "four");
  page.figures({chart}, "one");
  page.table({{"router", "valid", "test", "gap"}, {{"s<moe", "1.1", "", "−1"}}, {"", "paper", "paper", ""}},
             "BPC");
  return page;
}

size_t count(const std::vector<Element>& elements, const std::string& tag) {
  return size_t(std::ranges::count(elements, tag, &Element::tag));
}

}  // namespace

TEST_CASE("report: texts are escaped, control characters are not passed on") {
  CHECK(escaped("<a href=\"x\">'&'</a>") == "&lt;a href=&quot;x&quot;&gt;&#39;&amp;&#39;&lt;/a&gt;");
  CHECK(escaped(std::string("a\0b\x1f\n", 5)) == "a b  ");
  CHECK(escaped("größe") == "größe");
}

TEST_CASE("report: coordinates have at most two decimals and no negative zero") {
  CHECK(coordinate(1.005) == "1");
  CHECK(coordinate(-0.001) == "0");
  CHECK(coordinate(12.5) == "12.5");
  CHECK(coordinate(-3.14159) == "-3.14");
  CHECK(coordinate(100) == "100");
}

TEST_CASE("report: a page is well-formed, in one language, its headings in order") {
  const std::string html = sample_page().html();
  CHECK(html.starts_with("<!DOCTYPE html>\n<html lang=\"en\">"));
  const auto elements = parse(html);
  CHECK(count(elements, "h1") == 1);
  CHECK(count(elements, "h2") == 1);
  CHECK(count(elements, "figure") == 2);
  CHECK(count(elements, "script") == 0);
  for (const Element& e : elements) {
    if (e.tag == "h1") CHECK(e.text == "Routers &amp; &lt;layers&gt;");
    if (e.tag == "title" && !e.text.empty() && e.text[0] == 'R')
      CHECK(e.text == "Routers &amp; &lt;layers&gt;");
    if (e.tag == "svg") CHECK(!e.attribute("aria-label").empty());
    if (e.tag == "th") CHECK(!e.attribute("scope").empty());
  }
}

TEST_CASE("report: a page needs nothing but itself") {
  std::string html = sample_page().html();
  for (const char* outside :
       {"http:", "https://", "src=", "url(", "@import", "<link", "<script", "<img", "<iframe"})
    CHECK_MESSAGE(html.find(outside) == std::string::npos, outside);
}

TEST_CASE("report: equal pages have equal bytes") { CHECK(sample_page().html() == sample_page().html()); }

TEST_CASE("report: four figures stand in pairs of pairs, and each is there once for either width") {
  const auto elements = parse(sample_page().html());
  size_t rows = 0, places = 0, narrow = 0, wide = 0;
  for (const Element& e : elements) {
    rows += e.looks("row"), places += e.looks("place");
    narrow += e.tag == "svg" && e.looks("narrow"), wide += e.tag == "svg" && e.looks("wide");
  }
  CHECK(rows == 1 + 2 + 1);
  CHECK(places == 5);
  CHECK(narrow == 5);
  CHECK(wide == 5);
}

TEST_CASE("report: a table names its rows, joins equal headings and marks what is missing") {
  const auto elements = parse(sample_page().html());
  CHECK(std::ranges::count_if(elements, [](const Element& e) { return e.attribute("colspan") == "2"; }) == 1);
  CHECK(std::ranges::count_if(elements, [](const Element& e) { return e.attribute("scope") == "row"; }) == 1);
  CHECK(std::ranges::count_if(elements, [](const Element& e) { return e.looks("missing"); }) == 1);
}

TEST_CASE("report: a page refuses tables that do not fit together, and figures that are none") {
  Page page("t", "");
  CHECK_THROWS_WITH(page.table({{"a", "b"}, {{"1"}}}, ""), "table: a row of 1 cells under 2 columns");
  CHECK_THROWS_WITH(page.table({{"a"}, {}, {"g", "h"}}, ""), "table: 2 groups for 1 columns");
  CHECK_THROWS_WITH(page.figures({"<p>"}, ""), "page: a figure is what svg() returns");
}

}  // namespace rmoe::report::test
