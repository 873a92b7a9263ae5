#include "models/router/head.hpp"

#include "ops/activation/activation.hpp"
#include "ops/cosine_head/cosine_head.hpp"
#include "ops/reshape/reshape.hpp"

namespace rmoe {
namespace {

// X-MoE's starting point: nearly orthogonal experts, a temperature at which the gate is neither flat nor
// hard.
constexpr double kEmbeddingGain = 0.32;
constexpr double kTemperature = 0.3;

Linear linear_layer(const Scope& scope, int64_t in, int64_t out, const HeadOptions& o) {
  return {scope, in, out, o.bias, o.weight_init(in)};
}

}  // namespace

LinearHead::LinearHead(const Scope& scope, const HeadOptions& o)
    : linear_(linear_layer(scope, o.features, o.experts, o)) {}

MlpHead::MlpHead(const Scope& scope, const HeadOptions& o)
    : hidden_(linear_layer(scope / "hidden", o.features, o.width, o)),
      out_(linear_layer(scope / "out", o.width, o.experts, o)) {}

Var MlpHead::operator()(const Var& features) const { return out_(gelu(hidden_(features))); }

CosineHead::CosineHead(const Scope& scope, const HeadOptions& o) {
  const int64_t width = o.width > 0 ? o.width : o.features;
  if (o.width > 0) proj_.emplace(scope / "proj", o.features, width, false, o.weight_init(o.features));
  embeddings_ = scope.parameter("embeddings", {o.experts, width}, Init::orthogonal(kEmbeddingGain));
  temperature_ = scope.parameter("temperature", {1}, Init::constant(kTemperature));
}

Var CosineHead::operator()(const Var& features) const {
  return cosine_head(proj_ ? (*proj_)(features) : features, embeddings_, temperature_);
}

// The network is one torch would make, whatever the setting: it never learns, so its start is all it has.
HyperHead::HyperHead(const Scope& scope, const HeadOptions& o)
    : I_(o.features),
      E_(o.experts),
      embedding_(scope.parameter("embedding", {1, I_}, Init::normal(1))),
      hidden_(scope.frozen() / "hidden", I_, o.width, true, Init::fan_in(I_)),
      weight_(scope.frozen() / "weight", o.width, E_ * I_, true, Init::fan_in(o.width)) {
  if (o.bias) bias_.emplace(scope.frozen() / "bias", o.width, E_, true, Init::fan_in(o.width));
}

Var HyperHead::hidden() const { return relu(hidden_(embedding_)); }
Var HyperHead::weight() const { return reshape(weight_(hidden()), {E_, I_}); }

Var HyperHead::operator()(const Var& features) const {
  return linear(features, weight(), bias_ ? reshape((*bias_)(hidden()), {E_}) : Var());
}

Tensor HyperHead::matrix() const {
  const NoGrad guard;
  return weight().value();
}

}  // namespace rmoe
