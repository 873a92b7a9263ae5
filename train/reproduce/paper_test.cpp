#include "train/reproduce/paper.hpp"

#include "engine/error.hpp"
#include "models/router/spec.hpp"
#include "train/reproduce/scale.hpp"

#include <algorithm>
#include <cmath>
#include <doctest/doctest.h>
#include <map>

namespace rmoe::reproduce {
namespace {

struct Content {
  int64_t numbers;
  double sum;  // of all of them, a range by its two ends
};

Content content_of(const PaperTable& table) {
  Content content{0, 0};
  for (const Row& row : table.rows)
    for (const PaperNumber& number : row.paper) {
      if (!number.given()) continue;
      ++content.numbers;
      content.sum += number.low == number.high ? number.low : number.low + number.high;
    }
  return content;
}

}  // namespace

TEST_CASE("paper: no number of the paper is missing or changed") {
  const std::map<std::string, Content> wanted{
      {"table1", {49, 7573.145}}, {"table2", {24, 398.856}}, {"table3", {24, 1238.36}},
      {"table4", {24, 226.885}},  {"table5", {16, 18.217}},  {"table6", {15, 193.142}},
      {"table7", {12, 580.96}},   {"table8", {18, 127.553}}, {"table11", {0, 0}},
      {"figure2", {40, 45.406}},  {"figure3", {3, 3.36}},    {"figure4", {0, 0}},
      {"figure11", {0, 0}},       {"figure12", {0, 0}},      {"figure13", {0, 0}},
  };
  CHECK(wanted.size() == paper_tables().size());
  for (const PaperTable& table : paper_tables()) {
    CAPTURE(table.name);
    REQUIRE(wanted.contains(table.name));
    const Content found = content_of(table);
    CHECK(found.numbers == wanted.at(table.name).numbers);
    CHECK(std::fabs(found.sum - wanted.at(table.name).sum) < 1e-6);
  }
  CHECK(paper_table("figure13").note.find("0.18") != std::string::npos);
}

TEST_CASE("paper: every row has a known router, a number or a gap per column, and a baseline above it") {
  const std::vector<std::string> routers = router_names();
  for (const PaperTable& table : paper_tables())
    for (size_t i = 0; i < table.rows.size(); ++i) {
      const Row& row = table.rows[i];
      CAPTURE(table.name);
      CAPTURE(row.label);
      CHECK(std::ranges::find(routers, row.router) != routers.end());
      CHECK((row.paper.empty() || row.paper.size() == table.columns.size()));
      CHECK(row.baseline <= i);
      CHECK(table.rows[row.baseline].baseline == row.baseline);
    }
}

TEST_CASE("paper: table 7 has every model as it was pre-trained and tuned in every way it can be") {
  const PaperTable& table = paper_table("table7");
  CHECK(table.rows.size() == 19);
  for (const Row& row : table.rows) {
    CAPTURE(row.label);
    CHECK(table.rows[row.baseline].router == "smoe");
    const Tuning tuning = row.variant.tuning, against = table.rows[row.baseline].variant.tuning;
    CHECK((against == tuning || tuning == Tuning::router_and_cell_frozen));
    CHECK(row.paper.empty() == (tuning != Tuning::none || row.variant.state != 1));
  }
  CHECK(table.needs_tuning());
  CHECK(!paper_table("table3").needs_tuning());
}

TEST_CASE("scale: a row's router, state and steps, and nothing else") {
  const Config config = load_config(RMOE_SOURCE_DIR "/train/configs/pretrain-paper.toml");
  Config wanted = config;
  wanted.router.name = "rmoe-rnn";
  wanted.router.state = 256;
  wanted.train.steps = 10000;
  CHECK(to_toml(with_row(config, {"", "rmoe-rnn", {}, 0, {.steps = 2, .state = 2}})) == to_toml(wanted));
}

TEST_CASE("paper: a table that is not there is answered with those that are") {
  CHECK(paper_table("table1").rows.size() == 7);
  CHECK_THROWS_WITH_AS(paper_table("tabel1"), doctest::Contains("figure13"), UsageError);
}

TEST_CASE("scale: the paper's small model is three quarters of its medium one") {
  const std::string configs = RMOE_SOURCE_DIR "/train/configs/";
  const Config medium = load_config(configs + "enwik8-medium.toml");
  CHECK(to_toml(config_for(medium, {Benchmark::enwik8, Size::small})) ==
        to_toml(load_config(configs + "enwik8-small.toml")));
  CHECK(to_toml(config_for(medium, {})) == to_toml(medium));
}

TEST_CASE("scale: the layers of figure 2 are those of its configs") {
  const std::string configs = RMOE_SOURCE_DIR "/train/configs/";
  const Config medium = load_config(configs + "enwik8-medium.toml");
  for (const int64_t layers : {12, 18, 24, 32})
    CHECK(to_toml(config_for(medium, {Benchmark::enwik8, Size::small, layers})) ==
          to_toml(load_config(configs + "enwik8-small-" + std::to_string(layers) + ".toml")));
}

TEST_CASE("scale: a series of layers keeps the paper's ratios") {
  const auto layers = [](const char* config, int64_t paper) {
    const Config medium = load_config(std::string(RMOE_SOURCE_DIR "/train/configs/") + config);
    return config_for(medium, {Benchmark::enwik8, Size::small, paper}).model.layers;
  };
  CHECK(layers("tiny.toml", 6) == 3);
  CHECK(layers("tiny.toml", 32) == 16);
}

TEST_CASE("scale: one that is not there is answered with those that are") {
  CHECK(scale_named("tiny").seeds == 3);
  CHECK_THROWS_WITH_AS(scale_named("huge"),
                       "reproduce: there is no scale \"huge\"; there are tiny, small, paper", UsageError);
}

TEST_CASE("paper: a router's number is found by what it measures") {
  CHECK(paper_text(Metric::inner_balance, "smoe") == "34.68");
  CHECK(paper_text(Metric::outer_balance, "rmoe-np-r1.0") == "0.212");
  CHECK(paper_text(Metric::mutual_information, "rmoe") == "0.88–1.12");
  CHECK(paper_text(Metric::mutual_information, "xmoe") == "");
  CHECK(paper_text(Metric::gate_norm, "smoe") == "");
}

}  // namespace rmoe::reproduce
