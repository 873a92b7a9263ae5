#include "train/reproduce/results.hpp"

#include "engine/error.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace rmoe::reproduce {
namespace {

using nlohmann::json;

double score(double loss, bool words) { return words ? std::exp(loss) : loss / std::numbers::ln2; }

/// Tokens of the busiest expert over the mean, averaged over layers.
double busiest(const json& frequency) {
  double sum = 0;
  for (const json& layer : frequency) {
    const auto shares = layer.get<std::vector<double>>();
    sum += *std::ranges::max_element(shares) * double(shares.size());
  }
  return sum / double(frequency.size());
}

/// Where analyze()'s JSON has a metric: a number, or one per layer.
const char* place_of(Metric metric) {
  switch (metric) {
    case Metric::inner_balance:
      return "/balance/inner";
    case Metric::outer_balance:
      return "/balance/outer";
    case Metric::mutual_information:
      return "/mean_mutual_information";
    case Metric::gate_entropy:
      return "/gate_entropy/mean";
    case Metric::gate_norm:
      return "/router_weights/norm";
    case Metric::gate_deviation:
      return "/router_weights/stddev";
    case Metric::expert_similarity:
      return "/expert_similarity/mean";
    case Metric::gradient_total:
      return "/router_gradients/total";
    case Metric::gradient_lm:
      return "/router_gradients/lm";
    case Metric::gradient_balance:
      return "/router_gradients/balance";
    default:
      fail("reproduce: metric ", int(metric), " is not in an analysis");
  }
}

double analysis_value(Metric metric, const json& analysis) {
  if (metric == Metric::busiest_expert) return busiest(analysis.at("expert_frequency"));
  const json& found = analysis.at(json::json_pointer(place_of(metric)));
  return found.is_array() ? summarize(found.get<std::vector<double>>()).mean : found.get<double>();
}

/// In percent.
double task_value(const Column& column, const json& tasks) {
  return 100 * tasks.at(column.task).at(column.task_metric + ",none").get<double>();
}

/// The mean of the table's tasks.
double task_average(const std::vector<ResultColumn>& columns, const json& tasks) {
  std::vector<double> values;
  for (const ResultColumn& column : columns)
    if (column.paper.metric == Metric::task) values.push_back(task_value(column.paper, tasks));
  return summarize(values).mean;
}

double value_of(const Column& column, const Results& results, const ResultRun& run) {
  switch (column.metric) {
    case Metric::task:
      return task_value(column, run.outcome.tasks);
    case Metric::task_average:
      return task_average(results.columns, run.outcome.tasks);
    case Metric::valid:
      return score(run.outcome.valid_loss, run.words);
    case Metric::test:
      return score(run.outcome.test_loss, run.words);
    case Metric::parameters:
      return double(run.parameters.total) / 1e6;
    case Metric::router_parameters:
      return double(run.parameters.router) / 1e6;
    case Metric::memory:
      return double(run.outcome.peak_bytes) / 1e9;
    case Metric::seconds:
      return run.outcome.seconds_per_1000_steps;
    default:
      return analysis_value(column.metric, run.outcome.analysis);
  }
}

/// The paper's name of the column with our text or number of layers in the place of its own.
std::string heading_of(const Column& column, const Text& text, int64_t layers) {
  if (!is_loss(column.metric)) return column.name;
  std::string name = column.name;
  const std::string split = name.substr(name.rfind(' '));
  if (column.setting.layers > 0)
    name = concat(layers, " layers", split);
  else if (name.starts_with("enwik8") || name.starts_with("WikiText"))
    name = text.name + split;
  return name + (text.words() ? " PPL" : " BPC");
}

ResultColumn column_of(const Plan& plan, const Column& column) {
  const std::optional<size_t> index = plan.run_of(column, plan.table.rows[0], 1);
  if (!index) return {column, ""};
  const PlannedRun& run = plan.runs[*index];
  return {column, heading_of(column, plan.texts[run.text], run.config.model.layers)};
}

Cell cell_of(const Plan& plan, const Results& results, const Column& column, const Row& row) {
  Cell cell;
  for (int64_t seed = 1; seed <= plan.seeds; ++seed)
    if (const auto run = plan.run_of(column, row, seed)) {
      cell.runs.push_back(*run);
      cell.values.push_back(value_of(column, results, results.runs[*run]));
    }
  cell.summary = summarize(cell.values);
  return cell;
}

void take_differences(Results& results) {
  for (size_t i = 0; i < results.rows.size(); ++i) {
    const size_t baseline = results.rows[i].row.baseline;
    if (baseline == i) continue;
    for (size_t c = 0; c < results.columns.size(); ++c)
      if (is_compared(results.columns[c].paper.metric)) {
        Cell& cell = results.rows[i].cells[c];
        cell.difference = paired_difference(cell.values, results.rows[baseline].cells[c].values);
      }
  }
}

std::vector<std::string> changes(const Request& request) {
  std::vector<std::string> texts;
  if (!request.config.empty()) texts.push_back("--config " + request.config);
  if (!request.data.empty()) texts.push_back("--data " + request.data);
  if (!request.tasks.empty()) texts.push_back("--tasks-dir " + request.tasks);
  if (!request.finetune.empty()) texts.push_back("--sft " + request.finetune);
  if (!request.instructions.empty()) texts.push_back("--instructions " + request.instructions);
  if (request.steps >= 0) texts.push_back(concat("--steps ", request.steps));
  for (const std::string& text : request.overrides) texts.push_back("--set " + text);
  return texts;
}

}  // namespace

bool is_measured(Metric metric) { return metric == Metric::memory || metric == Metric::seconds; }
bool is_compared(Metric metric) { return is_loss(metric) || metric == Metric::task_average; }
bool is_loss(Metric metric) { return metric == Metric::valid || metric == Metric::test; }

Results collect(const Plan& plan) {
  Results results{.table = plan.table.name,
                  .title = plan.table.title,
                  .note = plan.table.note,
                  .scale = plan.scale,
                  .drawing = plan.table.drawing,
                  .seeds = plan.seeds,
                  .overrides = changes(plan.request),
                  .columns = {},
                  .rows = {},
                  .runs = {}};
  for (const PlannedRun& run : plan.runs)
    results.runs.push_back({run.name, run.router, run.seed, plan.texts[run.text].words(),
                            run.base.has_value(), run.config, run.account.parameters, outcome_of(plan, run)});
  if (plan.tasks) results.fewest_questions = plan.tasks->fewest;
  for (const Column& column : plan.table.columns) results.columns.push_back(column_of(plan, column));
  for (const Row& row : plan.table.rows) {
    ResultRow filled{row, {}};
    for (const Column& column : plan.table.columns)
      filled.cells.push_back(cell_of(plan, results, column, row));
    results.rows.push_back(std::move(filled));
  }
  take_differences(results);
  return results;
}

}  // namespace rmoe::reproduce
