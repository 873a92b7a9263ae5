#include "train/analysis/gate_statistics.hpp"

#include "engine/parallel.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace rmoe {
namespace {

double entropy_of(std::span<const float> p) {
  double sum = 0;
  for (const double x : p)
    if (x > 0) sum -= x * std::log(x);
  return sum;
}

/// The highest score of an expert other than `best`.
float runner_up(std::span<const float> p, int32_t best) {
  float highest = 0;
  for (size_t e = 0; e < p.size(); ++e)
    if (int32_t(e) != best) highest = std::max(highest, p[e]);
  return highest;
}

/// Reorders the values. The mean of the two in the middle if their number is even.
double median(std::span<float> values) {
  if (values.empty()) return std::numeric_limits<double>::quiet_NaN();
  const auto middle = values.begin() + ptrdiff_t(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  if (values.size() % 2 == 1) return *middle;
  return (double(*middle) + *std::max_element(values.begin(), middle)) / 2;
}

/// The median of each layer's values, and of all together.
template <class Layer>
double medians(const std::vector<Layer>& layers, std::vector<float> Layer::*values,
               std::vector<double>& per_layer) {
  std::vector<float> all;
  all.reserve(layers.size() * (layers[0].*values).size());
  for (const Layer& layer : layers) {
    const size_t begin = all.size();
    all.insert(all.end(), (layer.*values).begin(), (layer.*values).end());
    per_layer.push_back(median(std::span(all).subspan(begin)));
  }
  return median(all);
}

}  // namespace

bool has_choices(const ModelConfig& model, const RouterConfig& router) {
  return router.name != "dense" && model.experts > 1;
}

std::vector<Tensor> gate_probabilities(const std::vector<LayerStats>& layers, int64_t most) {
  std::vector<Tensor> probs;
  for (const LayerStats& layer : with_experts(layers)) {
    const Tensor& all = layer.routing.probs.value();
    probs.push_back(all.rows(0, std::min(most, all.dim(0))));
  }
  return probs;
}

void GateStatistics::add(const std::vector<LayerStats>& all) {
  const std::vector<LayerStats> layers = with_experts(all);
  layers_.resize(layers.size());
  parallel_for(int64_t(layers_.size()), [&](int64_t i) { add(layers_[i], layers[i].routing); });
}

void GateStatistics::add(Layer& layer, const RoutingStats& routing) {
  const Tensor probs = to(routing.probs.value(), DType::f32);  // [N,E]
  const int64_t N = probs.dim(0), E = probs.dim(1), K = routing.experts.dim(1);
  const double most = std::log(double(E));
  layer.dropped += routing.dropped();
  layer.entropy_counts.resize(kEntropyBins);
  layer.assignments.resize(E);
  for (int64_t n = 0; n < N; ++n) {
    const std::span<const float> p(probs.data<float>() + n * E, E);
    const std::span<const int32_t> chosen(routing.experts.data<int32_t>() + n * K, K);
    const double entropy = entropy_of(p);
    layer.entropy_sum += entropy;
    layer.entropy_squares += entropy * entropy;
    ++layer.entropy_counts[std::min(kEntropyBins - 1, int(entropy / most * kEntropyBins))];
    double kept = 0;
    for (const int32_t e : chosen) {
      ++layer.assignments[e];
      kept += p[e];
    }
    layer.inner.push_back(p[chosen[0]] / runner_up(p, chosen[0]));
    layer.outer.push_back(float(kept));
  }
}

GateEntropy GateStatistics::entropy() const {
  GateEntropy result;
  for (const Layer& layer : layers_) {
    const double N = double(layer.inner.size()), mean = layer.entropy_sum / N;
    result.mean.push_back(mean);
    result.stddev.push_back(std::sqrt(std::max(0.0, layer.entropy_squares / N - mean * mean)));
    auto& bins = result.histogram.emplace_back();
    for (const int64_t count : layer.entropy_counts) bins.push_back(double(count) / N);
  }
  return result;
}

Balance GateStatistics::balance() const {
  Balance result;
  result.inner = medians(layers_, &Layer::inner, result.inner_per_layer);
  result.outer = medians(layers_, &Layer::outer, result.outer_per_layer);
  return result;
}

std::vector<double> GateStatistics::drop_ratio() const {
  std::vector<double> ratios;
  for (const Layer& layer : layers_)
    ratios.push_back(double(layer.dropped) /
                     double(std::reduce(layer.assignments.begin(), layer.assignments.end())));
  return ratios;
}

std::vector<std::vector<double>> GateStatistics::expert_frequency() const {
  std::vector<std::vector<double>> shares;
  for (const Layer& layer : layers_) {
    const double all =
        double(std::accumulate(layer.assignments.begin(), layer.assignments.end(), int64_t{0}));
    auto& row = shares.emplace_back();
    for (const int64_t count : layer.assignments) row.push_back(double(count) / all);
  }
  return shares;
}

}  // namespace rmoe
