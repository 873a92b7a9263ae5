// The analyses against what an independent program says of the same numbers (tools/make_analysis_golden.py),
// and the router gradients against a plain backward pass.
#include "train/analysis/analysis.hpp"

#include "engine/parallel.hpp"
#include "tests/tiny_models.hpp"
#include "train/analysis/mutual_information.hpp"
#include "train/analysis/step_analysis.hpp"
#include "train/safetensors.hpp"

#include <algorithm>
#include <cmath>
#include <doctest/doctest.h>
#include <filesystem>
#include <map>
#include <numeric>

namespace rmoe::test {
namespace {

/// A golden file, and its tensors by name.
class Golden {
 public:
  explicit Golden(const std::string& name)
      : tensors_(read_safetensors(std::filesystem::path(RMOE_SOURCE_DIR) / "tests/golden" /
                                  ("analysis." + name + ".safetensors"))
                     .tensors) {}

  Tensor operator[](const std::string& name) const {
    for (const NamedTensor& t : tensors_)
      if (t.name == name) return t.tensor;
    FAIL("no tensor is called ", name);
    return {};
  }
  std::vector<double> values(const std::string& name) const { return to_array((*this)[name]).data; }

  /// Slice i of the first dimension of a tensor of three.
  Tensor slice(const std::string& name, int64_t i) const {
    const Tensor all = (*this)[name];
    return all.rows(i, 1).reshape({all.dim(1), all.dim(2)});
  }

 private:
  std::vector<NamedTensor> tensors_;
};

/// The gate of a golden case as a model would give it: tokens [begin, end) of every layer.
std::vector<LayerStats> gate_of(const Golden& golden, int64_t begin, int64_t end) {
  std::vector<LayerStats> layers;
  for (int64_t i = 0; i < golden["probs"].dim(0); ++i) {
    LayerStats layer;
    layer.routing.probs = Var(golden.slice("probs", i).rows(begin, end - begin));
    layer.routing.experts = golden.slice("experts", i).rows(begin, end - begin);
    layer.routing.kept = full({1}, double(layer.routing.experts.numel()), DType::i32);
    layers.push_back(layer);
  }
  return layers;
}

std::vector<double> joined(const std::vector<std::vector<double>>& rows) {
  std::vector<double> all;
  for (const auto& row : rows) all.insert(all.end(), row.begin(), row.end());
  return all;
}

void check_close(const std::vector<double>& got, const std::vector<double>& wanted, double tolerance) {
  REQUIRE(got.size() == wanted.size());
  for (size_t i = 0; i < got.size(); ++i) {
    CAPTURE(i);
    CHECK(std::fabs(got[i] - wanted[i]) <= tolerance * std::max(1.0, std::fabs(wanted[i])));
  }
}

std::vector<double> with_all(double all, std::vector<double> per_layer) {
  per_layer.insert(per_layer.begin(), all);
  return per_layer;
}

/// A text long enough for several blocks of two streams.
std::vector<int32_t> tiny_text(const ModelConfig& config) {
  std::vector<int32_t> tokens;
  for (int i = 0; i < 2 * 4 * 6 + 2; ++i) tokens.push_back(int32_t((i * i + 3 * i) % config.vocab));
  return tokens;
}

/// Gradients of the trainable router parameters whose name starts with `prefix`.
Tensors gradients_of(Model& model, const Var& loss, const std::string& prefix = "") {
  for (Parameter& p : model.parameters()) p.var.zero_grad();
  backward(loss);
  Tensors grads;
  for (Parameter& p : model.parameters()) {
    if (is_router_parameter(p.name) && p.var.requires_grad() && p.name.starts_with(prefix))
      grads.push_back(clone(p.var.grad()));
    p.var.zero_grad();
  }
  return grads;
}

Tensors difference(const Tensors& a, const Tensors& b) {
  Tensors result;
  for (size_t i = 0; i < a.size(); ++i) {
    Array x = to_array(a[i]);
    const Array y = to_array(b[i]);
    for (size_t j = 0; j < x.data.size(); ++j) x.data[j] -= y.data[j];
    result.push_back(to_tensor(x, DType::f64));
  }
  return result;
}

double norm_of(const Tensors& tensors) {
  double squares = 0;
  for (const Tensor& t : tensors)
    for (double x : to_array(t).data) squares += x * x;
  return std::sqrt(squares);
}

}  // namespace

TEST_CASE("analysis: gates say what an independent program says") {
  for (const char* name : {"sharp", "soft", "flat", "wide"}) {
    CAPTURE(name);
    const Golden golden(name);
    const int64_t layers = golden["probs"].dim(0), N = golden["probs"].dim(1);
    GateStatistics gates;
    MutualInformation information;
    for (const auto& part : {gate_of(golden, 0, 7), gate_of(golden, 7, N)}) {
      gates.add(part);
      information.add(gate_probabilities(part));
    }
    check_close(gates.entropy().mean, golden.values("entropy_mean"), 1e-12);
    check_close(gates.entropy().stddev, golden.values("entropy_stddev"), 1e-9);
    check_close(joined(gates.entropy().histogram), golden.values("entropy_histogram"), 1e-12);
    check_close(joined(gates.expert_frequency()), golden.values("frequency"), 1e-12);
    const Balance balance = gates.balance();
    check_close(with_all(balance.inner, balance.inner_per_layer), golden.values("inner"), 1e-7);
    check_close(with_all(balance.outer, balance.outer_per_layer), golden.values("outer"), 1e-7);
    std::vector<double> lower;
    for (int64_t i = 0; i < layers; ++i)
      for (int64_t j = 0; j < i; ++j) lower.push_back(golden.values("mutual_information")[i * layers + j]);
    check_close(joined(information.matrix()), lower, 1e-12);
    CHECK(information.mean() ==
          doctest::Approx(std::accumulate(lower.begin(), lower.end(), 0.0) / double(lower.size())));
  }
}

TEST_CASE("mutual information: a layer tells all about its twin and nothing about a uniform gate") {
  const Tensor p = from_vector<float>({0.1f, 0.2f, 0.3f, 0.4f}, {1, 4});
  const Tensor flat = from_vector<float>({0.25f, 0.25f, 0.25f, 0.25f}, {1, 4});
  const Tensor sure = from_vector<float>({1, 0, 0, 0}, {1, 4});  // 1 has a bin, the last
  const auto information = [](const std::vector<Tensor>& probs) {
    MutualInformation result;
    result.add(probs);
    return result.mean();
  };
  CHECK(information({p, p}) == doctest::Approx(std::log(4.0)));
  CHECK(information({p, flat}) == doctest::Approx(0.0));
  CHECK(information({sure, sure}) == doctest::Approx(0.25 * std::log(4.0) + 0.75 * std::log(4.0 / 3)));
  CHECK(information({p}) == 0);
  CHECK(error_of([&] {
          information({p, from_vector<float>({1, 0}, {1, 2})});
        }) == "mutual information: probabilities [1,2], wanted [1,4]");
}

TEST_CASE("mutual information: equal bits at any thread count") {
  const Tensor a = empty({5000, 16}, DType::f32), b = empty_like(a);
  fill_uniform(a, 0, 0.2, 1, 1);
  fill_uniform(b, 0, 0.2, 1, 2);
  const int before = thread_count();
  std::vector<double> means;
  for (int threads : {1, 2, 3}) {
    set_thread_count(threads);
    MutualInformation information;
    information.add({a, b});
    means.push_back(information.mean());
  }
  set_thread_count(before);
  CHECK(means[0] > 0);
  CHECK(means[1] == means[0]);
  CHECK(means[2] == means[0]);
}

TEST_CASE("analysis: weights say what an independent program says") {
  for (const TinyCase& c : tiny_cases()) {
    if (c.router.name != "smoe") continue;
    CAPTURE(c.name);
    const Golden golden(c.model.kind);
    const Model model(c.model, c.router, 1);
    for (const Parameter& p : model.parameters())
      if (p.name.find(".experts.w") != p.name.npos || p.name.find(".router.head.weight") != p.name.npos)
        copy(p.var.value(), golden[p.name]);
    const ExpertSimilarity similarity = expert_similarity(model);
    check_close(similarity.per_layer, golden.values("result.similarity"), 1e-9);
    CHECK(similarity.parts == (c.model.kind == "lm" ? 2 : 3));
    CHECK(similarity.mean == doctest::Approx((similarity.per_layer[0] + similarity.per_layer[1]) / 2));
    check_close(router_weights(model).norm, golden.values("result.norm"), 1e-9);
    check_close(router_weights(model).stddev, golden.values("result.stddev"), 1e-9);
  }
}

TEST_CASE("expert similarity: equal experts give the number of parts") {
  const TinyCase c = tiny_case("llama-smoe");  // w1, w3, w2
  const Model model(c.model, c.router, 1);
  for (const Parameter& p : model.parameters())
    if (p.name.find(".experts.") != p.name.npos)
      for (int64_t e = 1; e < c.model.experts; ++e) copy(p.var.value().rows(e, 1), p.var.value().rows(0, 1));
  CHECK(expert_similarity(model).mean == doctest::Approx(3.0));
}

TEST_CASE("router gradients: the parts add up to the gradient of the whole loss") {
  for (const TinyCase& c : tiny_cases()) {
    if (c.router.name == "dense") continue;
    CAPTURE(c.name);
    RouterConfig router = c.router;
    router.balance_weight = 0.3;  // both losses count
    Model model(c.model, router, 5, DType::f64);
    spread_parameters(model);
    const Batch batch = tiny_batch(c.model);
    const Memory memory = warm_memory(model);
    const auto run = [&](double share) {
      RouterConfig weighted = router;
      weighted.balance_weight *= share;
      weighted.z_loss_weight *= share;
      return losses(model(batch.inputs, memory, {}), batch.targets, weighted).total;
    };
    const auto check = [&](const GradientNorms& got, const std::string& prefix) {
      const Tensors total = gradients_of(model, run(1), prefix), lm = gradients_of(model, run(0), prefix);
      CHECK(got.total == doctest::Approx(norm_of(total)).epsilon(1e-10));
      CHECK(got.lm == doctest::Approx(norm_of(lm)).epsilon(1e-10));
      CHECK(got.balance == doctest::Approx(norm_of(difference(total, lm))).epsilon(1e-8));
    };
    const RouterGradients got = router_gradients(model, batch.inputs, batch.targets, memory);
    for (const Parameter& p : model.parameters()) CHECK_FALSE(p.var.grad());
    check(got.all, "");
    REQUIRE(got.per_layer.size() == 2);
    for (size_t i = 0; i < 2; ++i)
      check(got.per_layer[i], concat("layers.", c.model.dense_layers + int64_t(i), "."));
    if (c.router.name == "random") {
      CHECK(got.all.total == 0);  // frozen
    } else {
      CHECK(got.all.lm > 0);
      CHECK(got.all.balance > 0);
    }
    if (c.router.name == "rmoe")  // the cell belongs to no layer
      CHECK(std::hypot(got.per_layer[0].total, got.per_layer[1].total) < 0.999 * got.all.total);
  }
}

TEST_CASE("analyze: every router") {
  for (const TinyCase& c : tiny_cases()) {
    if (c.router.name == "dense") continue;
    CAPTURE(c.name);
    Model model(c.model, c.router, 5);
    const Analysis a = analyze(model, tiny_text(c.model), {.streams = 2, .block = 4});
    CHECK(a.router == c.router.name);
    CHECK(a.mean_mutual_information() > 0);
    CHECK(a.balance.inner >= 1);
    CHECK(a.router_weights.norm[1] > 0);
  }
}

TEST_CASE("analyze: a whole split, cut short, and models without a choice") {
  const TinyCase c = tiny_case("lm-rmoe");
  Model model(c.model, c.router, 5);
  const std::vector<int32_t> tokens = tiny_text(c.model);
  AnalyzeOptions options{.streams = 2, .block = 4, .gradient_blocks = 3};
  const Analysis whole = analyze(model, tokens, options);
  CHECK(whole.complete);
  CHECK(whole.tokens == 48);
  CHECK(whole.router == "rmoe");
  CHECK(whole.router_gradients.blocks == 3);
  CHECK(to_json(analyze(model, tokens, options)) == to_json(whole));

  // One long block reads as short ones with memory.
  const Analysis single = analyze(model, tokens, {.streams = 2, .block = 24});
  CHECK(single.tokens == 48);
  CHECK(single.mean_mutual_information() == doctest::Approx(whole.mean_mutual_information()).epsilon(1e-5));
  CHECK(single.mean_entropy() == doctest::Approx(whole.mean_entropy()).epsilon(1e-5));
  CHECK(single.balance.inner == doctest::Approx(whole.balance.inner).epsilon(1e-5));

  options.blocks = 2;
  CHECK(analyze(model, tokens, options).tokens == 16);
  options.blocks = -1;
  options.tick = [](int64_t done, int64_t all) { return done < all - 2; };
  const Analysis cut = analyze(model, tokens, options);
  CHECK_FALSE(cut.complete);
  CHECK(cut.tokens == 32);

  const TinyCase dense = tiny_case("llama-dense");
  Model without(dense.model, dense.router, 5);
  CHECK(error_of([&] { analyze(without, tokens, options); }) ==
        "analyze: this model has router \"dense\" and 4 experts per layer: nothing is chosen; give runs with "
        "several experts");
}

TEST_CASE("step analysis: the numbers of a step's own outputs") {
  const TinyCase c = tiny_case("lm-rmoe");
  Model model(c.model, c.router, 5);
  const Batch batch = tiny_batch(c.model);
  const Memory memory = warm_memory(model);
  const ModelOutput output = model(batch.inputs, memory, {});
  StepAnalysis step;
  step.add(output.layers);
  GateStatistics gates;
  gates.add(output.layers);
  MutualInformation information;
  information.add(gate_probabilities(output.layers));
  backward(losses(output, batch.targets, c.router).total);
  std::map<std::string, MetricValue> metrics;
  for (const Metric& m : step.metrics(model)) metrics[m.name] = m.value;
  const auto vector_of = [&](const char* name) { return std::get<std::vector<double>>(metrics.at(name)); };
  CHECK(std::get<double>(metrics.at("mutual_information")) == information.mean());
  CHECK(vector_of("gate_entropy") == gates.entropy().mean);
  CHECK(vector_of("inner_balance") == gates.balance().inner_per_layer);
  CHECK(vector_of("outer_balance") == gates.balance().outer_per_layer);
  CHECK(vector_of("expert_share")[1] == std::ranges::max(gates.expert_frequency()[1]));
  CHECK(vector_of("router_weight_norm") == router_weights(model).norm);
  CHECK(vector_of("expert_similarity") == expert_similarity(model).per_layer);
  const double norm = std::get<double>(metrics.at("router_grad_norm"));
  CHECK(norm == doctest::Approx(router_gradients(model, batch.inputs, batch.targets, memory).all.total));
}

}  // namespace rmoe::test
