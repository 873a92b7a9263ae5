#include "train/analysis/weight_statistics.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace rmoe {
namespace {

/// The parameter called `name` in float; undefined if there is none.
Tensor parameter(const Model& model, const std::string& name) {
  const auto p = std::ranges::find(model.parameters(), name, &Parameter::name);
  return p == model.parameters().end() ? Tensor() : to(to(p->master, Device::cpu), DType::f32);
}

/// Means over the middle dimension: [E,F,C] -> E rows of C.
std::vector<double> mean_over_rows(const Tensor& w) {
  const int64_t E = w.dim(0), F = w.dim(1), C = w.dim(2);
  std::vector<double> means(E * C);
  const float* x = w.data<float>();
  for (int64_t e = 0; e < E; ++e)
    for (int64_t f = 0; f < F; ++f)
      for (int64_t c = 0; c < C; ++c) means[e * C + c] += double(*x++) / double(F);
  return means;
}

/// Means over the last dimension: [E,C,F] -> E rows of C.
std::vector<double> mean_over_columns(const Tensor& w) {
  const int64_t rows = w.dim(0) * w.dim(1), F = w.dim(2);
  std::vector<double> means(rows);
  for (int64_t r = 0; r < rows; ++r) {
    const float* x = w.data<float>() + r * F;
    means[r] = std::accumulate(x, x + F, 0.0) / double(F);
  }
  return means;
}

/// The mean over all pairs of the dot products of the normalised rows. That is the squared length of the mean
/// row: mean_ab <v_a, v_b> = |mean_a v_a|^2.
double mean_cosine(const std::vector<double>& rows, int64_t E) {
  const int64_t C = int64_t(rows.size()) / E;
  std::vector<double> mean(C);
  for (int64_t e = 0; e < E; ++e) {
    const double* row = rows.data() + e * C;
    const double length = std::sqrt(std::inner_product(row, row + C, row, 0.0));
    if (length > 0)  // a row of zeros is like nothing
      for (int64_t c = 0; c < C; ++c) mean[c] += row[c] / length / double(E);
  }
  return std::inner_product(mean.begin(), mean.end(), mean.begin(), 0.0);
}

double norm_of(std::span<const float> values) {
  double squares = 0;
  for (const double x : values) squares += x * x;
  return std::sqrt(squares);
}

double stddev_of(std::span<const float> values) {
  const double n = double(values.size()), mean = std::accumulate(values.begin(), values.end(), 0.0) / n;
  double squares = 0;
  for (const double x : values) squares += (x - mean) * (x - mean);
  return std::sqrt(squares / n);
}

}  // namespace

ExpertSimilarity expert_similarity(const Model& model) {
  ExpertSimilarity result;
  const int64_t first = model.config().dense_layers, layers = model.config().layers,
                E = model.config().experts;
  for (int64_t i = first; i < layers; ++i) {
    const std::string experts = concat("layers.", i, ".moe.experts.");
    const Tensor w1 = parameter(model, experts + "w1"), w2 = parameter(model, experts + "w2"),
                 w3 = parameter(model, experts + "w3");
    double sum = mean_cosine(mean_over_rows(w1), E) + mean_cosine(mean_over_columns(w2), E);
    if (w3) sum += mean_cosine(mean_over_rows(w3), E);
    result.parts = w3 ? 3 : 2;
    result.per_layer.push_back(sum);
    result.mean += sum / double(layers - first);
  }
  return result;
}

RouterWeights router_weights(const Model& model) {
  RouterWeights result;
  for (const Tensor& gate : model.gate_matrices()) {
    const Tensor values = to(to(gate, Device::cpu), DType::f32);
    result.norm.push_back(norm_of(values.span<float>()));
    result.stddev.push_back(stddev_of(values.span<float>()));
  }
  return result;
}

}  // namespace rmoe
