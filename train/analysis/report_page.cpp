#include "train/analysis/report_page.hpp"

#include "train/report/chart.hpp"
#include "train/report/page.hpp"
#include "train/reproduce/paper.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <iterator>
#include <string_view>

namespace rmoe {
namespace {

using report::Bars;
using report::Heatmap;
using report::LineChart;
using report::Page;
using report::Series;
using Analyses = std::vector<Analysis>;
using Rows = std::vector<std::vector<double>>;

std::vector<std::string> numbers(size_t n) {
  std::vector<std::string> names;
  for (size_t i = 0; i < n; ++i) names.push_back(std::to_string(i));
  return names;
}

/// The largest value of one analysis of all runs: the top of a shared scale.
template <class ValuesOf>
double largest(const Analyses& analyses, ValuesOf values_of) {
  double most = 0;
  for (const Analysis& a : analyses)
    for (const auto& row : values_of(a))
      for (const double x : row) most = std::max(most, x);
  return most;
}

/// One figure per run.
template <class FigureOf>
std::vector<std::string> side_by_side(const Analyses& analyses, FigureOf figure_of) {
  std::vector<std::string> svgs;
  for (const Analysis& a : analyses) svgs.push_back(report::svg(figure_of(a)));
  return svgs;
}

Series over_layers(const std::string& name, const std::vector<double>& y) {
  Series series{name, {}, y};
  for (size_t i = 0; i < y.size(); ++i) series.x.push_back(double(i));
  return series;
}

/// One line per run, over the layers.
template <class ValuesOf>
std::string lines(const Analyses& analyses, const std::string& title, const std::string& y_label,
                  ValuesOf values_of) {
  LineChart chart{title, "layer", y_label, {}};
  for (const Analysis& a : analyses) chart.series.push_back(over_layers(a.run, values_of(a)));
  return report::svg(chart);
}

std::vector<std::string> gate_row(const Analysis& a) {
  using reproduce::Metric, reproduce::paper_text;
  return {a.run,
          fmt::format("{:.3f}", a.mean_mutual_information()),
          paper_text(Metric::mutual_information, a.router),
          fmt::format("{:.3f}", a.mean_entropy()),
          fmt::format("{:#.4g}", a.balance.inner),
          paper_text(Metric::inner_balance, a.router),
          fmt::format("{:.3f}", a.balance.outer),
          paper_text(Metric::outer_balance, a.router)};
}

std::vector<std::string> run_row(const Analysis& a) {
  const GradientNorms& g = a.router_gradients.all;
  return {a.run,
          a.router,
          std::to_string(a.step),
          fmt::format("{} {}", a.tokens, a.split),
          fmt::format("{:.3f}", a.expert_similarity.mean),
          fmt::format("{:.3f}", a.expert_similarity.mean / double(a.expert_similarity.parts)),
          fmt::format("{:#.3g}", g.total),
          fmt::format("{:#.3g}", g.lm),
          fmt::format("{:#.3g}", g.balance)};
}

void add_tables(Page& page, const Analyses& analyses) {
  const char *information = "mutual information", *inner = "inner balance", *outer = "outer balance",
             *similarity = "expert similarity", *gradient = "router gradient";
  report::Table gates{{"run", "mean", "paper", "mean", "here", "paper", "here", "paper"},
                      {},
                      {"", information, information, "gate entropy", inner, inner, outer, outer}};
  report::Table runs{{"run", "router", "step", "tokens", "paper's scale", "of at most 1", "both losses",
                      "LM loss", "balance loss"},
                     {},
                     {"", "", "", "", similarity, similarity, gradient, gradient, gradient}};
  for (const Analysis& a : analyses) {
    gates.rows.push_back(gate_row(a));
    runs.rows.push_back(run_row(a));
  }
  page.table(gates,
             "The gates. The paper's numbers are those of its 8-layer models on enwik8; of the mutual "
             "information it shows every pair of layers.");
  page.table(runs, "The runs, their experts, and how strongly the losses pull at their routers.");
}

/// Layers 1, 2, ... against layers 0, 1, ...
Heatmap triangle(const Analysis& a, double high) {
  Heatmap map{a.run, "layer", "earlier layer", {}, {}, {}, 0, high};
  const size_t L = a.mutual_information.size();
  for (size_t i = 1; i < L; ++i) {
    map.rows.push_back(std::to_string(i));
    map.columns.push_back(std::to_string(i - 1));
    map.values.push_back(a.mutual_information[i]);
    map.values.back().resize(L - 1, std::nan(""));  // a blank cell
  }
  return map;
}

void add_mutual_information(Page& page, const Analyses& all) {
  Analyses analyses;
  std::ranges::copy_if(all, std::back_inserter(analyses),
                       [](const Analysis& a) { return a.mutual_information.size() > 1; });
  if (analyses.empty()) return;
  const double high = largest(analyses, [](const Analysis& a) { return a.mutual_information; });
  page.heading("What the layers' routers share");
  page.figures(
      side_by_side(analyses, [&](const Analysis& a) { return triangle(a, high); }),
      "Mutual information of the gates of two layers, in nats: both gate distributions of a token are cut "
      "into 100 bins over [0, 1], the mutual information of the two lists of bins is taken over the "
      "experts, then the mean over tokens. The paper (figure 3) saw 0.88 to 1.12 for RMoE, 0.46 to 0.52 "
      "for RMoE without passing and 0.16 to 0.22 for SMoE.");
}

/// ln E of the run with the most experts.
double highest_entropy(const Analyses& analyses) {
  size_t E = 0;
  for (const Analysis& a : analyses) E = std::max(E, a.expert_frequency[0].size());
  return std::log(double(E));
}

report::Ridges entropy_ridges(const Analysis& a, double high) {
  report::Ridges chart{a.run, "entropy, nats", {}, 0, high};
  const double most = std::log(double(a.expert_frequency[0].size()));
  for (size_t layer = 0; layer < a.gate_entropy.histogram.size(); ++layer) {
    const auto& shares = a.gate_entropy.histogram[layer];
    Series row{fmt::format("layer {}", layer), {}, shares};
    for (size_t i = 0; i < shares.size(); ++i)
      row.x.push_back((double(i) + 0.5) * most / double(shares.size()));
    chart.rows.push_back(row);
  }
  return chart;
}

void add_entropy(Page& page, const Analyses& analyses) {
  const double high = highest_entropy(analyses);
  page.heading("How sure the gates are");
  page.figures(
      side_by_side(analyses, [&](const Analysis& a) { return entropy_ridges(a, high); }),
      "Distribution over tokens of the entropy -sum p ln p of the gate's softmax. At 0 one expert has "
      "every chance, at ln E all are alike. The paper draws it in figures 4 and 8 to 10.");
  page.figures({lines(analyses, "Mean", "nats", [](const Analysis& a) { return a.gate_entropy.mean; }),
                lines(analyses, "Standard deviation", "nats",
                      [](const Analysis& a) { return a.gate_entropy.stddev; })},
               "The same in two numbers per layer, over all tokens.");
}

void add_balance(Page& page, const Analyses& analyses) {
  page.heading("Inner and outer balance");
  page.figures(
      {lines(analyses, "Inner balance", "top-1 / top-2 score",
             [](const Analysis& a) { return a.balance.inner_per_layer; }),
       lines(analyses, "Outer balance", "sum of the top-K scores",
             [](const Analysis& a) { return a.balance.outer_per_layer; })},
      "Medians over tokens of the ratio of the two highest softmax scores, and of the sum of the K highest "
      "before they are renormalised. The table above takes the median over all tokens of all layers "
      "together. The paper (table 8) saw 34.68 and 0.915 for SMoE, 2.021 and 0.573 for RMoE.");
}

void add_experts(Page& page, const Analyses& analyses) {
  const double high = largest(analyses, [](const Analysis& a) { return a.expert_frequency; });
  page.heading("The experts");
  page.figures(
      side_by_side(analyses,
                   [&](const Analysis& a) {
                     const Rows& shares = a.expert_frequency;
                     return Heatmap{
                         a.run,  "layer", "expert", numbers(shares.size()), numbers(shares[0].size()),
                         shares, 0,       high};
                   }),
      "Share of a layer's assignments that each expert got; 1/E is perfect balance. The paper draws it in "
      "figure "
      "12.");
  page.figures(
      {lines(analyses, "Expert similarity", "mean dot product (paper's scale)",
             [](const Analysis& a) { return a.expert_similarity.per_layer; })},
      "How alike the experts of a layer are: per expert the means over the width of its matrices, each of "
      "length 1 and joined; the mean dot product of all E x E pairs. Equal experts give the number of "
      "matrices, independent ones about that number / E: at random the paper (figures 5 and 13) has 0.18, "
      "for "
      "16 experts of three matrices.");
}

void add_weights(Page& page, const Analyses& analyses) {
  page.heading("The routers' weights");
  page.figures(
      {lines(analyses, "Norm", "L2 norm", [](const Analysis& a) { return a.router_weights.norm; }),
       lines(analyses, "Standard deviation", "of the elements",
             [](const Analysis& a) { return a.router_weights.stddev; })},
      "The matrix by which a layer's head scores the experts: a linear weight, the last matrix of an MLP, "
      "expert embeddings. The paper draws both in figure 11.");
}

void add_gradients(Page& page, const Analyses& analyses) {
  const auto part = [&](const char* name, double GradientNorms::*norm) {
    Bars bars{name, {}};
    for (const Analysis& a : analyses) bars.values.push_back(a.router_gradients.all.*norm);
    return bars;
  };
  report::BarChart all{"All layers and the shared cell",
                       "L2 norm",
                       {},
                       {part("both losses", &GradientNorms::total), part("LM loss", &GradientNorms::lm),
                        part("balance loss", &GradientNorms::balance)}};
  for (const Analysis& a : analyses) all.groups.push_back(a.run);
  const auto per_layer = [&](const char* title, double GradientNorms::*norm) {
    return lines(analyses, title, "L2 norm", [norm](const Analysis& a) {
      std::vector<double> values;
      for (const GradientNorms& layer : a.router_gradients.per_layer) values.push_back(layer.*norm);
      return values;
    });
  };
  page.heading("What pulls at the routers");
  page.figures(
      {report::svg(all)},
      "Norm of the gradient with respect to all trainable parameters of the routers: of the whole loss, of "
      "the LM loss alone and of the weighted load-balance loss alone (the paper's table 11), mean over "
      "blocks spread over the split, without dropout. The cell that layers share counts once.");
  page.figures({per_layer("LM loss, by layer", &GradientNorms::lm),
                per_layer("Balance loss, by layer", &GradientNorms::balance)},
               "The same for the parameters that belong to one layer.");
}

/// What the paths of all runs begin with, up to their last common '/'.
std::string common_folder(const Analyses& analyses) {
  std::string_view common = analyses[0].run;
  for (const Analysis& a : analyses)
    common = common.substr(0, std::ranges::mismatch(common, a.run).in1 - common.begin());
  return std::string(common.substr(0, common.rfind('/') + 1));  // npos + 1 is 0
}

}  // namespace

std::string report_page(Analyses analyses) {
  const std::string folder = common_folder(analyses);
  for (Analysis& a : analyses) a.run.erase(0, folder.size());
  Page page("What routers and experts do",
            fmt::format("{}{}", analyses.size() == 1 ? "One run" : fmt::format("{} runs", analyses.size()),
                        folder.empty() ? "" : " in " + folder));
  add_tables(page, analyses);
  add_mutual_information(page, analyses);
  add_entropy(page, analyses);
  add_balance(page, analyses);
  add_experts(page, analyses);
  add_weights(page, analyses);
  add_gradients(page, analyses);
  return page.html();
}

}  // namespace rmoe
