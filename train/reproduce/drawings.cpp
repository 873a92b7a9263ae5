#include "train/report/chart.hpp"
#include "train/reproduce/output.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>

namespace rmoe::reproduce {
namespace {

using nlohmann::json;

/// The analysis of the first seed of every row.
std::vector<std::pair<std::string, json>> first_seeds(const Results& results) {
  std::vector<std::pair<std::string, json>> found;
  for (const ResultRow& row : results.rows)
    for (const Cell& cell : row.cells)
      if (!cell.runs.empty()) {
        found.emplace_back(row.row.label, results.runs[cell.runs[0]].outcome.analysis);
        break;
      }
  return found;
}

/// 1 to n.
std::vector<std::string> numbered(size_t n) {
  std::vector<std::string> names;
  for (size_t i = 0; i < n; ++i) names.push_back(std::to_string(i + 1));
  return names;
}

std::vector<double> positions(size_t n) {
  std::vector<double> x;
  for (size_t i = 0; i < n; ++i) x.push_back(double(i + 1));
  return x;
}

/// Validation loss over layers: ours with its spread, or the paper's.
report::LineChart layer_chart(const Results& results, bool ours) {
  report::LineChart chart{ours ? "Ours" : "The paper", "layers", "", {}};
  for (const ResultRow& row : results.rows) {
    report::Series line{row.row.label, {}, {}};
    for (size_t c = 0; c < results.columns.size(); ++c) {
      const ResultColumn& column = results.columns[c];
      if (column.paper.metric != Metric::valid) continue;
      const Cell& cell = row.cells[c];
      if (!ours) {
        line.x.push_back(double(column.paper.setting.layers));
        line.y.push_back(row.row.paper[c].low);
      } else if (!cell.runs.empty()) {
        const double mean = cell.summary.mean, deviation = cell.summary.deviation;
        line.x.push_back(double(results.runs[cell.runs[0]].config.model.layers));
        line.y.push_back(mean);
        if (cell.summary.n > 1) {
          line.low.push_back(mean - deviation);
          line.high.push_back(mean + deviation);
        }
        chart.y_label = "validation " + column.heading.substr(column.heading.size() - 3);
      }
    }
    chart.series.push_back(std::move(line));
  }
  if (!ours) chart.y_label = "validation BPC";
  return chart;
}

Figures layer_charts(const Results& results) {
  return {{svg(layer_chart(results, true)), svg(layer_chart(results, false))},
          "Validation loss by number of layers. The band is one standard deviation over seeds."};
}

Figures information_maps(const Results& results) {
  Figures figures{{}, "Mutual information of the gates of two layers, nats per token; first seed."};
  double high = 0;  // one colour scale for all
  for (const auto& [label, analysis] : first_seeds(results))
    for (const json& row : analysis.at("mutual_information"))
      for (const double value : row) high = std::max(high, value);
  for (const auto& [label, analysis] : first_seeds(results)) {
    const json& triangle = analysis.at("mutual_information");
    const size_t L = triangle.size();
    report::Heatmap map{.title = label,
                        .row_label = "layer",
                        .column_label = "earlier layer",
                        .rows = numbered(L),
                        .columns = numbered(L),
                        .values = std::vector(L, std::vector<double>(L, std::nan(""))),
                        .low = 0,
                        .high = high};
    for (size_t i = 0; i < L; ++i)
      for (size_t j = 0; j < triangle[i].size(); ++j) map.values[i][j] = triangle[i][j];
    figures.svgs.push_back(svg(map));
  }
  return figures;
}

Figures entropy_ridges(const Results& results) {
  Figures figures{{}, "Entropy of the gate over tokens, layer by layer; the tick is the median. First seed."};
  for (const auto& [label, analysis] : first_seeds(results)) {
    const double experts = double(analysis.at("expert_frequency").at(0).size());
    report::Ridges ridges{.title = label, .x_label = "nats", .rows = {}, .low = 0, .high = std::log(experts)};
    const json& layers = analysis.at("gate_entropy").at("histogram");
    for (size_t i = 0; i < layers.size(); ++i) {
      report::Series row{fmt::format("layer {}", i + 1), {}, layers[i].get<std::vector<double>>()};
      for (size_t bin = 0; bin < row.y.size(); ++bin)
        row.x.push_back((double(bin) + 0.5) / double(row.y.size()) * std::log(experts));
      ridges.rows.push_back(std::move(row));
    }
    figures.svgs.push_back(svg(ridges));
  }
  return figures;
}

Figures weight_lines(const Results& results) {
  report::LineChart norm{"Norm of the gate matrix", "layer", "L2 norm", {}};
  report::LineChart deviation{"Standard deviation of its elements", "layer", "", {}};
  for (const auto& [label, analysis] : first_seeds(results)) {
    const auto norms = analysis.at("router_weights").at("norm").get<std::vector<double>>();
    const auto deviations = analysis.at("router_weights").at("stddev").get<std::vector<double>>();
    norm.series.push_back({label, positions(norms.size()), norms});
    deviation.series.push_back({label, positions(deviations.size()), deviations});
  }
  return {{svg(norm), svg(deviation)}, "Weights of the gate matrix, layer by layer; first seed."};
}

Figures frequency_maps(const Results& results) {
  std::vector<report::Heatmap> maps;
  double high = 0;  // one colour scale for all
  for (const auto& [label, analysis] : first_seeds(results)) {
    report::Heatmap map{.title = label,
                        .row_label = "layer",
                        .column_label = "expert",
                        .rows = {},
                        .columns = {},
                        .values = {},
                        .low = 0,
                        .decimals = 1};
    for (const json& layer : analysis.at("expert_frequency")) {
      std::vector<double> shares;
      for (const double share : layer) shares.push_back(100 * share);
      high = std::max(high, *std::ranges::max_element(shares));
      map.values.push_back(std::move(shares));
    }
    map.rows = numbered(map.values.size());
    map.columns = numbered(map.values.at(0).size());
    maps.push_back(std::move(map));
  }
  Figures figures{{}, "Share of assignments per expert and layer, in percent; first seed."};
  for (report::Heatmap& map : maps) {
    map.high = high;
    figures.svgs.push_back(svg(map));
  }
  return figures;
}

Figures similarity_lines(const Results& results) {
  report::LineChart chart{"Expert similarity", "layer", "the paper's scale", {}};
  for (const auto& [label, analysis] : first_seeds(results)) {
    const auto values = analysis.at("expert_similarity").at("per_layer").get<std::vector<double>>();
    chart.series.push_back({label, positions(values.size()), values});
  }
  return {{svg(chart)}, "Mean dot product of all pairs of experts, layer by layer; first seed."};
}

}  // namespace

std::vector<Figures> drawings(const Results& results) {
  switch (results.drawing) {
    case Drawing::none:
      return {};
    case Drawing::layers:
      return {layer_charts(results)};
    case Drawing::mutual_information:
      return {information_maps(results)};
    case Drawing::gate_entropy:
      return {entropy_ridges(results)};
    case Drawing::router_weights:
      return {weight_lines(results)};
    case Drawing::expert_frequency:
      return {frequency_maps(results)};
    case Drawing::expert_similarity:
      return {similarity_lines(results)};
  }
  return {};
}

}  // namespace rmoe::reproduce
