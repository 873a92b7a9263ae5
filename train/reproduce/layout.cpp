#include "train/reproduce/output.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <set>

namespace rmoe::reproduce {
namespace {

std::string text_of_paper(const ResultRow& row, size_t column, const Column& of) {
  return column < row.row.paper.size() ? to_text(row.row.paper[column], of.format) : "";
}

std::string our_text(const Cell& cell, const ResultColumn& column) {
  if (cell.runs.empty()) return "";
  if (!std::isfinite(cell.summary.mean)) return "?";
  const bool bits = column.heading.ends_with("BPC"), perplexity = column.heading.ends_with("PPL");
  const Metric metric = column.paper.metric;
  const bool percent = metric == Metric::task || metric == Metric::task_average;
  const std::string format = bits                  ? "{:.4f}"
                             : perplexity          ? "{:.3f}"
                             : percent             ? "{:.2f}"
                             : is_analysis(metric) ? "{:#.3g}"
                                                   : "{:.3g}";
  std::string text = fmt::format(fmt::runtime(format), cell.summary.mean);
  if (cell.summary.n > 1 && cell.summary.deviation > 0)  // counts have none
    text += " ± " + fmt::format(fmt::runtime(bits || perplexity || percent ? format : "{:.2g}"),
                                cell.summary.deviation);
  return text;
}

/// What a column of the paper becomes: our number, its difference, the paper's.
struct Shown {
  bool ours, difference, paper;
};

Shown shown(const Results& results, size_t column) {
  const auto any = [&](auto test) { return std::ranges::any_of(results.rows, test); };
  return {!results.columns[column].heading.empty(),
          any([&](const ResultRow& row) { return row.cells[column].difference.n > 0; }),
          any([&](const ResultRow& row) {
            return !text_of_paper(row, column, results.columns[column].paper).empty();
          })};
}

void add_cells(std::vector<std::string>& to, const Results& results, const ResultRow& row, size_t column,
               const Shown& show) {
  const Cell& cell = row.cells[column];
  if (show.ours) to.push_back(our_text(cell, results.columns[column]));
  if (show.difference) to.push_back(cell.difference.n > 0 ? difference_text(cell.difference) : "");
  if (!show.paper) return;
  const std::string paper = text_of_paper(row, column, results.columns[column].paper);
  to.push_back(paper.empty() ? "unknown" : paper);
}

report::Table layout_by_router(const Results& results) {
  report::Table table{{"router"}, {}};
  for (const ResultRow& row : results.rows) table.rows.push_back({row.row.label});
  for (size_t c = 0; c < results.columns.size(); ++c) {
    const Shown show = shown(results, c);
    if (show.ours) table.header.push_back(results.columns[c].heading);
    if (show.difference) table.header.push_back("difference");
    if (show.paper) table.header.push_back("paper: " + results.columns[c].paper.name);
    for (size_t r = 0; r < results.rows.size(); ++r)
      add_cells(table.rows[r], results, results.rows[r], c, show);
  }
  return table;
}

report::Table layout_by_layers(const Results& results) {
  report::Table table{{"layers (the paper's)"}, {}};
  for (const ResultRow& row : results.rows) {
    table.header.push_back(row.row.label);
    if (row.cells[0].difference.n > 0) table.header.push_back("difference");
    table.header.push_back("paper: " + row.row.label);
  }
  for (size_t c = 0; c < results.columns.size(); ++c) {
    const ResultColumn& column = results.columns[c];
    std::vector<std::string> cells{fmt::format("{} ({})", column.heading, column.paper.setting.layers)};
    for (const ResultRow& row : results.rows)
      add_cells(cells, results, row, c, {true, row.cells[0].difference.n > 0, true});
    table.rows.push_back(std::move(cells));
  }
  return table;
}

std::string markdown_row(const std::vector<std::string>& cells) {
  std::string text = "|";
  for (const std::string& cell : cells) text += cell.empty() ? " |" : " " + cell + " |";
  return text + "\n";
}

}  // namespace

report::Table layout(const Results& results) {
  return results.drawing == Drawing::layers ? layout_by_layers(results) : layout_by_router(results);
}

std::string caption(const Results& results) {
  std::string text = "Ours: mean";
  if (results.seeds > 1)
    text += fmt::format(" ± sample standard deviation over {} seeds", results.seeds);
  else
    text += " of one seed";
  std::set<size_t> baselines;
  for (const ResultRow& row : results.rows)
    for (const Cell& cell : row.cells)
      if (cell.difference.n > 0) baselines.insert(row.row.baseline);
  if (baselines.empty()) return text + ".";
  return text + fmt::format("; difference: to {}, seed by seed{}.",
                            baselines.size() == 1 ? results.rows[*baselines.begin()].row.label
                                                  : "the nearest row above that has none",
                            results.seeds > 1 ? ", ± its standard error" : "");
}

std::string to_markdown(const Results& results) {
  const report::Table table = layout(results);
  std::string text = fmt::format("# {}, at scale {}\n\n", results.title, results.scale);
  text += markdown_row(table.header) + "|---|";
  for (size_t i = 1; i < table.header.size(); ++i) text += "---:|";
  text += "\n";
  for (const std::vector<std::string>& row : table.rows) text += markdown_row(row);
  text += "\n" + caption(results) + "\n";
  if (!results.note.empty()) text += results.note + "\n";
  text += "\n";
  for (const std::string& sentence : verdict(results)) text += "- " + sentence + "\n";
  return text;
}

}  // namespace rmoe::reproduce
