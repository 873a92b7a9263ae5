#include "train/reproduce/output.hpp"

#include <doctest/doctest.h>

namespace rmoe::reproduce {
namespace {

ResultRun made_up_run(const std::string& router, int64_t seed, double bpc) {
  ResultRun run{
      .name = "tiny-text/" + router + "-seed" + std::to_string(seed), .router = router, .seed = seed};
  run.config.model.layers = 4;
  run.config.model.hidden = 128;
  run.config.train.steps = 900;
  run.config.train.batch = 16;
  run.config.train.block = 64;
  run.outcome.valid_loss = bpc;
  run.outcome.seconds_per_1000_steps = 80;
  run.outcome.machine = "a machine";
  return run;
}

Cell made_up_cell(std::vector<double> values) {
  Cell cell;
  for (size_t i = 0; i < values.size(); ++i) cell.runs.push_back(i);
  cell.values = values;
  cell.summary = summarize(values);
  return cell;
}

/// Two routers and a missing one, validation and time, on a text that stands for enwik8 only.
Results made_up(std::vector<double> smoe, std::vector<double> rmoe) {
  Results results{.table = "table0",
                  .title = "Table 0: made up",
                  .note = "A note.",
                  .scale = "tiny",
                  .seeds = int64_t(smoe.size()),
                  .overrides = {},
                  .columns = {},
                  .rows = {},
                  .runs = {}};
  for (size_t i = 0; i < smoe.size(); ++i)
    results.runs.push_back(made_up_run("smoe", int64_t(i + 1), smoe[i]));
  for (size_t i = 0; i < rmoe.size(); ++i)
    results.runs.push_back(made_up_run("rmoe", int64_t(i + 1), rmoe[i]));
  results.columns = {{{"enwik8 val", {Benchmark::enwik8}, Metric::valid}, "text val BPC"},
                     {{"WikiText-103 val", {Benchmark::wikitext103}, Metric::valid}, ""},
                     {{"time", {Benchmark::either}, Metric::seconds, "{:.1f}"}, "time (s)"}};
  results.rows = {
      {{"SMoE", "smoe", {1.5, 30.25, 960.2}}, {made_up_cell(smoe), {}, made_up_cell({80, 80})}},
      {{"RMoE", "rmoe", {{1.25, 1.5}, {}, 1000}}, {made_up_cell(rmoe), {}, made_up_cell({90, 92})}}};
  results.rows[1].cells[0].difference = paired_difference(rmoe, smoe);
  return results;
}

}  // namespace

TEST_CASE("output: Markdown has the paper's number in the cell beside ours") {
  const std::string wanted = R"(# Table 0: made up, at scale tiny

| router | text val BPC | difference | paper: enwik8 val | paper: WikiText-103 val | time (s) | paper: time |
|---|---:|---:|---:|---:|---:|---:|
| SMoE | 2.1000 ± 0.1414 | | 1.500 | 30.250 | 80 | 960.2 |
| RMoE | 2.0800 ± 0.1273 | −0.0200 ± 0.0100 | 1.250–1.500 | unknown | 91 ± 1.4 | 1000.0 |

Ours: mean ± sample standard deviation over 2 seeds; difference: to SMoE, seed by seed, ± its standard error.
A note.

)";
  const std::string text = to_markdown(made_up({2, 2.2}, {1.99, 2.17}));
  CHECK_MESSAGE(text.starts_with(wanted), text);
}

TEST_CASE("output: the verdict says whether a difference is larger than its standard error") {
  const auto sentence = [](std::vector<double> smoe, std::vector<double> rmoe) {
    return verdict(made_up(smoe, rmoe)).at(1);
  };
  const std::string large = sentence({2, 2.2}, {1.99, 2.17});  // -0.01 and -0.03
  CHECK_MESSAGE(large.find("by chance alone: RMoE − SMoE = −0.0200 ± 0.0100.") != large.npos, large);
  CHECK_MESSAGE(large.find("nothing is shown: none.") != large.npos, large);
  const std::string within = sentence({2, 2.2}, {1.99, 2.22});  // -0.01 and +0.02
  CHECK_MESSAGE(within.find("by chance alone: none.") != within.npos, within);
  CHECK_MESSAGE(within.find("nothing is shown: RMoE − SMoE = +0.0050 ± 0.0150.") != within.npos, within);
  const std::string one = sentence({2}, {1.99});
  CHECK_MESSAGE(one.find("RMoE − SMoE = −0.0100. One seed has no standard error") != one.npos, one);
}

TEST_CASE("output: the verdict states what was run and what that cannot say") {
  Results results = made_up({2, 2.2}, {1.99, 2.17});
  results.overrides = {"--steps 900"};
  CHECK(verdict(results).front() ==
        "Scale tiny, 2 seeds; tiny-text: 4 layers, C = 128, 900 steps of 1024 tokens (changed by --steps "
        "900).");
  CHECK(verdict(results).back().starts_with("Runs this small cannot say"));
  results.scale = "paper";
  CHECK(verdict(results).back().starts_with("Runs this small cannot say"));
  results.overrides = {};
  CHECK(verdict(results).back().starts_with("Model, steps and text are the paper's"));
}

TEST_CASE("output: JSON keeps what no second run repeats apart") {
  nlohmann::ordered_json json = to_json(made_up({2, 2.2}, {1.99, 2.17}));
  CHECK(json.at("measured").at("rows")[1].at("cells")[0].at("ours").at("mean") == 91);
  CHECK(json.at("measured").at("runs")[0].at("machine") == "a machine");
  json.erase("measured");
  CHECK(json.dump().find("seconds") == std::string::npos);
  const auto& cells = json.at("rows")[1].at("cells");
  CHECK(cells.size() == 2);
  CHECK(cells[0].at("ours").at("values") == std::vector<double>{1.99, 2.17});
  CHECK(cells[0].at("paper") == std::vector<double>{1.25, 1.5});
  CHECK(cells[1].at("ours").is_null());
  CHECK(cells[1].at("paper").is_null());
  CHECK(json.at("runs").size() == 4);
}

TEST_CASE("output: a series of layers stands upright, one column per router") {
  Results results = made_up({2, 2.2}, {1.99, 2.17});
  results.drawing = Drawing::layers;
  results.columns.resize(1);
  results.columns[0].paper.setting.layers = 12;
  const report::Table table = layout(results);
  CHECK(table.header == std::vector<std::string>{"layers (the paper's)", "SMoE", "paper: SMoE", "RMoE",
                                                 "difference", "paper: RMoE"});
  CHECK(table.rows ==
        std::vector<std::vector<std::string>>{{"text val BPC (12)", "2.1000 ± 0.1414", "1.500",
                                               "2.0800 ± 0.1273", "−0.0200 ± 0.0100", "1.250–1.500"}});
}

TEST_CASE("output: the page holds the table, the verdict and the machine") {
  const std::string page = to_html(made_up({2, 2.2}, {1.99, 2.17}));
  for (const char* part : {"Table 0: made up", "2.0800 ± 0.1273", "−0.0200 ± 0.0100", "a machine", "A note."})
    CHECK_MESSAGE(page.find(part) != page.npos, part);
}

}  // namespace rmoe::reproduce
