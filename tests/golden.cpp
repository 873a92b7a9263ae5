// Every number of whole models against files that an independent float64 program wrote
// (tools/make_golden.py).
#include "models/model.hpp"
#include "tests/op_case.hpp"
#include "train/config.hpp"
#include "train/optimizer.hpp"
#include "train/safetensors.hpp"
#include "train/trace.hpp"
#include "train/weights.hpp"

#include <algorithm>
#include <cmath>
#include <doctest/doctest.h>
#include <filesystem>
#include <map>

namespace rmoe::test {
namespace {

const std::vector<std::string> kTrained = {"lm-smoe", "lm-rmoe", "llama-smoe", "llama-rmoe", "llama-dense"};

struct Precision {
  DType dtype;
  double values, gradients;  // tolerance, relative to the largest value of the tensor
};
const std::vector<Precision> kPrecisions = {{DType::f64, 1e-12, 1e-11}, {DType::f32, 1e-5, 3e-5}};

std::filesystem::path golden(const std::string& name) {
  return std::filesystem::path(RMOE_SOURCE_DIR) / "tests" / "golden" / name;
}

/// Every case there is a file for, and so, as the first test sees to, every router.
std::vector<std::string> all_cases() {
  std::vector<std::string> names;
  for (const auto& file : std::filesystem::directory_iterator(golden("")))
    if (file.path().extension() == ".toml") names.push_back(file.path().stem().string());
  std::ranges::sort(names);
  return names;
}

Tensor find(const std::vector<NamedTensor>& tensors, const std::string& name) {
  for (const NamedTensor& t : tensors)
    if (t.name == name) return t.tensor;
  FAIL("no tensor is called ", name);
  return {};
}

std::vector<NamedTensor> read(const std::string& name, const char* what) {
  return read_safetensors(golden(name + what)).tensors;
}

/// A model with the weights of a golden case, and its tokens [B,T+1].
struct GoldenCase {
  Model model;
  Tensor tokens;

  GoldenCase(const std::string& name, DType dtype)
      : GoldenCase(name, dtype, load_config(golden(name + ".toml"), {})) {}

 private:
  GoldenCase(const std::string& name, DType dtype, const Config& config)
      : model(config.model, config.router, 1, dtype),
        tokens(find(read(name, ".tokens.safetensors"), "tokens")) {
    assign(name, model.parameters(), read(name, ".weights.safetensors"));
  }
};

/// Compares in the order of the computation, so that the first tensor that diverges is the one that is named.
void compare(const std::string& what, const std::vector<NamedTensor>& got,
             const std::vector<NamedTensor>& wanted, const Precision& precision) {
  for (const NamedTensor& g : got) {
    const bool gradient = g.name.starts_with("grad.");
    const Array x = to_array(g.tensor), y = to_array(find(wanted, g.name));
    REQUIRE_MESSAGE(x.shape == y.shape, what, ": ", g.name, " has another shape");
    double scale = 1e-3;
    for (double v : y.data) scale = std::max(scale, std::fabs(v));
    for (size_t i = 0; i < x.data.size(); ++i) {
      const double error = std::fabs(x.data[i] - y.data[i]) / scale;
      const double tolerance = gradient ? precision.gradients : precision.values;
      REQUIRE_MESSAGE(error <= tolerance, what, " (", name_of(precision.dtype),
                      "): the first tensor that diverges is ", g.name, ", element ", i, ": ", x.data[i],
                      ", wanted ", y.data[i]);
    }
  }
}

/// The trace in forward order: what a divergence at one tensor explains comes after it.
std::vector<NamedTensor> in_forward_order(std::vector<NamedTensor> dump) {
  const auto rank = [](const std::string& name) {
    return name.starts_with("layers.") ? 0 : name.starts_with("grad.") ? 2 : 1;
  };
  std::stable_sort(dump.begin(), dump.end(),
                   [&](const NamedTensor& a, const NamedTensor& b) { return rank(a.name) < rank(b.name); });
  return dump;
}

}  // namespace

TEST_CASE("golden: there is a case of every router") {
  const auto cases = all_cases();
  for (const std::string& router : router_names())
    CHECK_MESSAGE(std::ranges::count(cases, (router == "dense" ? "llama-" : "lm-") + router) == 1, router);
}

TEST_CASE("golden: losses, logits, routing and all gradients of every model") {
  for (const std::string& name : all_cases())
    for (const Precision& precision : kPrecisions) {
      CAPTURE(name);
      GoldenCase c(name, precision.dtype);
      Model& model = c.model;
      const Tensor tokens = c.tokens;
      const auto wanted = read(name, ".trace.safetensors");
      const auto dump = trace(model, tokens, model.initial_memory(tokens.dim(0)));
      CHECK(dump.size() == wanted.size());
      compare(name, in_forward_order(dump), wanted, precision);
    }
}

TEST_CASE("golden: the next block of a stream, with the memory the first one left") {
  for (const std::string name : {"lm-smoe", "lm-rmoe"})
    for (const Precision& precision : kPrecisions) {
      CAPTURE(name);
      GoldenCase c(name, precision.dtype);
      Model& model = c.model;
      const Tensor first = c.tokens;
      const auto wanted = read(name, ".memory.safetensors");
      Memory memory;
      {
        const NoGrad guard;
        memory = model(inputs_and_targets(first).first, model.initial_memory(first.dim(0)), {}).memory;
      }
      compare(name, in_forward_order(trace(model, find(wanted, "tokens"), memory)), wanted, precision);
    }
}

TEST_CASE("golden: ten steps of Adam") {
  for (const std::string& name : kTrained)
    for (const Precision& precision : kPrecisions) {
      CAPTURE(name);
      GoldenCase c(name, precision.dtype);
      Model& model = c.model;
      const Tensor tokens = c.tokens;
      const auto wanted = read(name, ".adam.safetensors");
      const auto [inputs, targets] = inputs_and_targets(tokens);
      Optimizer optimizer(OptimizerConfig{.name = "adam", .weight_decay = 0}, model.parameters());
      std::vector<double> total;
      for (int step = 1; step <= 10; ++step) {
        const Losses l =
            losses(model(inputs, model.initial_memory(inputs.dim(0)), {}), targets, model.router());
        total.push_back(l.total.value().item());
        backward(l.total);
        optimizer.step(step, 1e-3, full({}, 1, DType::f64));
      }
      std::vector<NamedTensor> got{{"total_losses", from_vector(total, {10})}};
      for (const NamedTensor& w : wanted)
        if (w.name.starts_with("final."))
          got.push_back({w.name, find(named_values(model.parameters()), w.name.substr(6))});
      compare(name, got, wanted, precision);
    }
}

}  // namespace rmoe::test
