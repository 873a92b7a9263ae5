// Heads: what turns a token's features into one logit per expert. A new one is a struct with these two
// functions and a line in presets.cpp (models/router/README.md).
#pragma once

#include "models/layers.hpp"

#include <memory>
#include <optional>

namespace rmoe {

struct HeadOptions {
  int64_t features;  // width I of what the head reads: C, or P for a recurrent state
  int64_t experts;   // E
  int64_t width;     // of what is inside the head; 0 if nothing is
  bool bias;         // the LM setting has biases, the Llama setting has none
  double init_std;   // of normal initial weights; 0: torch's default of a linear layer
  Init weight_init(int64_t fan_in) const {
    return init_std > 0 ? Init::normal(init_std) : Init::fan_in(fan_in);
  }
};

class Head {
 public:
  virtual ~Head() = default;
  virtual Var operator()(const Var& features) const = 0;  // [N,I] -> [N,E]
  /// The matrix [E,*] whose rows stand for the experts, for analyses.
  virtual Tensor matrix() const = 0;
};

using MakeHead = std::shared_ptr<const Head> (*)(const Scope& scope, const HeadOptions& options);
template <class H>
std::shared_ptr<const Head> make_head(const Scope& scope, const HeadOptions& options) {
  return std::make_shared<H>(scope, options);
}

/// W f + b. Fedus et al. 2021 (Switch).
class LinearHead : public Head {
 public:
  LinearHead(const Scope& scope, const HeadOptions& options);
  Var operator()(const Var& features) const override { return linear_(features); }
  Tensor matrix() const override { return linear_.weight.value(); }

 private:
  Linear linear_;  // I -> E
};

/// W_2 gelu(W_1 f + b_1) + b_2.
class MlpHead : public Head {
 public:
  MlpHead(const Scope& scope, const HeadOptions& options);
  Var operator()(const Var& features) const override;
  Tensor matrix() const override { return out_.weight.value(); }

 private:
  Linear hidden_, out_;  // I -> width -> E
};

/// cos(P f, v_e) / tau with expert embeddings v_e and one learnable tau; P is left out where width is 0.
/// Chi et al. 2022 (X-MoE).
class CosineHead : public Head {
 public:
  CosineHead(const Scope& scope, const HeadOptions& options);
  Var operator()(const Var& features) const override;
  Tensor matrix() const override { return embeddings_.value(); }

 private:
  std::optional<Linear> proj_;  // I -> width
  Var embeddings_;              // [E,width]
  Var temperature_;             // [1]
};

/// W(u) f + b(u): the weights come out of a frozen random two-layer network that reads one learnable vector
/// u. Do et al. 2023 (HyperRouter).
class HyperHead : public Head {
 public:
  HyperHead(const Scope& scope, const HeadOptions& options);
  Var operator()(const Var& features) const override;
  Tensor matrix() const override;

 private:
  Var weight() const;  // [E,I]
  Var hidden() const;  // [1,width]

  int64_t I_, E_;
  Var embedding_;               // u [1,I], the only part that learns
  Linear hidden_;               // I -> width
  Linear weight_;               // width -> E*I
  std::optional<Linear> bias_;  // width -> E
};

}  // namespace rmoe
