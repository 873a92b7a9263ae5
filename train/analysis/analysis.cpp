#include "train/analysis/analysis.hpp"

#include "data/stream.hpp"
#include "train/analysis/mutual_information.hpp"

#include <numeric>

namespace rmoe {
namespace {

/// Is block i one of `wanted` that lie evenly over `count`? The last always is: memory is full there.
bool is_picked(int64_t i, int64_t wanted, int64_t count) {
  return (i + 1) * wanted / count > i * wanted / count;
}

nlohmann::ordered_json to_json(const GradientNorms& norms) {
  return {{"total", norms.total}, {"lm", norms.lm}, {"balance", norms.balance}};
}

nlohmann::ordered_json to_json(const RouterGradients& gradients) {
  nlohmann::ordered_json json = to_json(gradients.all);
  json["blocks"] = gradients.blocks;
  json["per_layer"] = nlohmann::ordered_json::array();
  for (const GradientNorms& layer : gradients.per_layer) json["per_layer"].push_back(to_json(layer));
  return json;
}

}  // namespace

double Analysis::mean_mutual_information() const {
  double sum = 0, pairs = 0;
  for (const auto& row : mutual_information) {
    sum = std::accumulate(row.begin(), row.end(), sum);
    pairs += double(row.size());
  }
  return pairs > 0 ? sum / pairs : 0;
}

double Analysis::mean_entropy() const {
  const auto& mean = gate_entropy.mean;
  return std::accumulate(mean.begin(), mean.end(), 0.0) / double(mean.size());
}

void check_analyzable(const Model& model, const std::string& what) {
  RMOE_CHECK(has_choices(model.config(), model.router()), "analyze: ", what, " has router \"",
             model.router().name, "\" and ", model.config().experts,
             " experts per layer: nothing is chosen; give runs with several experts");
}

Analysis analyze(Model& model, const Tokens& tokens, const AnalyzeOptions& options) {
  check_analyzable(model, "this model");
  const EvalBlocks pass(tokens, options.block, options.streams, std::max<int64_t>(options.blocks, 0));
  const int64_t gradient_blocks = std::min(options.gradient_blocks, pass.count());
  Memory memory = model.initial_memory(options.streams);
  MutualInformation information;
  GateStatistics gates;
  std::vector<RouterGradients> gradients;
  Analysis result;
  for (int64_t i = 0; i < pass.count() && result.complete; ++i) {
    const Batch batch = pass.block(i);
    if (is_picked(i, gradient_blocks, pass.count()))
      gradients.push_back(router_gradients(model, batch.inputs, batch.targets, memory));
    const NoGrad guard;
    ModelOutput output = model(batch.inputs, memory, {});
    information.add(gate_probabilities(output.layers));
    gates.add(output.layers);
    memory = std::move(output.memory);
    result.tokens += batch.inputs.numel();
    if (options.tick) result.complete = options.tick(i + 1, pass.count());
  }
  result.router = model.router().name;
  result.mutual_information = information.matrix();
  result.gate_entropy = gates.entropy();
  result.balance = gates.balance();
  result.expert_frequency = gates.expert_frequency();
  result.expert_similarity = expert_similarity(model);
  result.router_weights = router_weights(model);
  result.router_gradients = mean_of(gradients);
  return result;
}

nlohmann::ordered_json to_json(const Analysis& a) {
  return {{"run", a.run},
          {"router", a.router},
          {"step", a.step},
          {"split", a.split},
          {"tokens", a.tokens},
          {"mutual_information", a.mutual_information},
          {"mean_mutual_information", a.mean_mutual_information()},
          {"gate_entropy",
           {{"mean", a.gate_entropy.mean},
            {"stddev", a.gate_entropy.stddev},
            {"histogram", a.gate_entropy.histogram}}},
          {"balance",
           {{"inner", a.balance.inner},
            {"outer", a.balance.outer},
            {"inner_per_layer", a.balance.inner_per_layer},
            {"outer_per_layer", a.balance.outer_per_layer}}},
          {"expert_similarity",
           {{"mean", a.expert_similarity.mean},
            {"per_layer", a.expert_similarity.per_layer},
            {"parts", a.expert_similarity.parts}}},
          {"router_weights", {{"norm", a.router_weights.norm}, {"stddev", a.router_weights.stddev}}},
          {"expert_frequency", a.expert_frequency},
          {"router_gradients", to_json(a.router_gradients)}};
}

}  // namespace rmoe
