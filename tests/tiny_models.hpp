// Models small enough to check every number of, shared by the tests.
#pragma once

#include "data/stream.hpp"
#include "models/model.hpp"
#include "tests/op_case.hpp"
#include "train/config.hpp"

namespace rmoe::test {

struct TinyCase {
  std::string name;
  ModelConfig model;
  RouterConfig router;
};

/// Both kinds with every router, and the dense Llama: 2 layers, odd sizes. A name with a "+" is one with an
/// option more.
std::vector<TinyCase> tiny_cases();
/// The one called `name`, e.g. "lm-rmoe".
TinyCase tiny_case(const std::string& name);

/// Training it: four streams of six tokens, with a load-balance loss.
Config tiny_training(const TinyCase& c);

/// Two streams of five tokens.
Batch tiny_batch(const ModelConfig& config);

/// Moves biases off zero and norms off one, so that no gradient is checked at a special point.
void spread_parameters(const Model& model);

/// The memory that a first block leaves behind.
Memory warm_memory(const Model& model);

/// Gradients of all parameters of a float model made with `seed`, training mode, memory in use.
Tensors gradients(const TinyCase& c, uint64_t seed, bool bf16_products = false);

bool same_bits(const Tensors& a, const Tensors& b);
double largest_difference(const Tensor& a, const Tensor& b);

}  // namespace rmoe::test
