#include "train/reproduce/output.hpp"

#include <cmath>
#include <numbers>

namespace rmoe::reproduce {
namespace {

using nlohmann::ordered_json;

/// JSON has no NaN.
ordered_json number(double value) { return std::isfinite(value) ? ordered_json(value) : ordered_json(); }

ordered_json paper_json(const ResultRow& row, size_t column) {
  if (column >= row.row.paper.size() || !row.row.paper[column].given()) return {};
  const PaperNumber& n = row.row.paper[column];
  return n.low == n.high ? ordered_json(n.low) : ordered_json{n.low, n.high};
}

ordered_json cell_json(const Cell& cell) {
  if (cell.runs.empty()) return {};
  ordered_json json{{"mean", number(cell.summary.mean)}, {"deviation", number(cell.summary.deviation)}};
  ordered_json values = ordered_json::array();
  for (const double value : cell.values) values.push_back(number(value));
  json["values"] = std::move(values);
  if (cell.difference.n > 0)
    json["difference"] = {{"mean", number(cell.difference.mean)},
                          {"standard_error", number(cell.difference.standard_error)}};
  return json;
}

/// The cells of the columns that are measured, or of those that are not.
ordered_json cells_json(const Results& results, const ResultRow& row, bool measured) {
  ordered_json cells = ordered_json::array();
  for (size_t c = 0; c < results.columns.size(); ++c) {
    if (is_measured(results.columns[c].paper.metric) != measured) continue;
    cells.push_back({{"column", results.columns[c].paper.name},
                     {"ours", cell_json(row.cells[c])},
                     {"paper", paper_json(row, c)}});
  }
  return cells;
}

ordered_json rows_json(const Results& results, bool measured) {
  ordered_json rows = ordered_json::array();
  for (const ResultRow& row : results.rows) {
    ordered_json json{{"label", row.row.label}, {"router", row.row.router}};
    const ResultRow& baseline = results.rows[row.row.baseline];
    if (&baseline != &row && !measured) json["differences_to"] = baseline.row.label;
    json["cells"] = cells_json(results, row, measured);
    rows.push_back(std::move(json));
  }
  return rows;
}

ordered_json columns_json(const Results& results) {
  ordered_json columns = ordered_json::array();
  for (const ResultColumn& column : results.columns)
    columns.push_back({{"paper", column.paper.name}, {"ours", column.heading}});
  return columns;
}

ordered_json loss_json(double loss, int64_t tokens) {
  return {{"loss", loss}, {"bpc", loss / std::numbers::ln2}, {"ppl", std::exp(loss)}, {"tokens", tokens}};
}

ordered_json run_json(const ResultRun& run) {
  ordered_json json{{"run", run.name},
                    {"router", run.router},
                    {"seed", run.seed},
                    {"layers", run.config.model.layers},
                    {"hidden", run.config.model.hidden},
                    {"steps", run.config.train.steps},
                    {"best_step", run.outcome.best_step},
                    {"parameters", run.parameters.total},
                    {"router_parameters", run.parameters.router},
                    {"valid", loss_json(run.outcome.valid_loss, run.outcome.valid_tokens)}};
  if (run.outcome.test_tokens > 0) json["test"] = loss_json(run.outcome.test_loss, run.outcome.test_tokens);
  if (!run.outcome.tasks.is_null()) json["tasks"] = run.outcome.tasks;
  return json;
}

ordered_json measured_json(const ResultRun& run) {
  return {{"run", run.name},
          {"seconds_per_1000_steps", number(run.outcome.seconds_per_1000_steps)},
          {"peak_bytes", run.outcome.peak_bytes},
          {"machine", run.outcome.machine}};
}

}  // namespace

ordered_json to_json(const Results& results) {
  ordered_json runs = ordered_json::array(), measured = ordered_json::array();
  for (const ResultRun& run : results.runs) {
    runs.push_back(run_json(run));
    measured.push_back(measured_json(run));
  }
  return {{"table", results.table},
          {"title", results.title},
          {"scale", results.scale},
          {"seeds", results.seeds},
          {"changed_by", results.overrides},
          {"columns", columns_json(results)},
          {"rows", rows_json(results, false)},
          {"runs", std::move(runs)},
          {"verdict", verdict(results)},
          {"measured", {{"rows", rows_json(results, true)}, {"runs", std::move(measured)}}}};
}

}  // namespace rmoe::reproduce
