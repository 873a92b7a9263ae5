// How strongly the two losses pull at the router (table 11).
#pragma once

#include "models/model.hpp"

namespace rmoe {

/// L2 norms of the gradient with respect to a set of router parameters.
struct GradientNorms {
  double total = 0;    // of the whole loss
  double lm = 0;       // of the language-modelling loss alone
  double balance = 0;  // of the routers' own weighted losses alone: load balance and z-loss
};

struct RouterGradients {
  GradientNorms all;                     // every trainable router parameter; a shared cell counts once
  std::vector<GradientNorms> per_layer;  // with experts, its own: a shared cell belongs to none
  int64_t blocks = 0;                    // the norms are means over this many blocks
};

/// Is this a parameter of a router, or of the cell that all routers share?
bool is_router_parameter(const std::string& name);

/// One block: gradients of mean losses over its tokens, without dropout. The gradients of the model's
/// parameters are left cleared.
RouterGradients router_gradients(Model& model, const Tensor& inputs, const Tensor& targets,
                                 const Memory& memory);
/// Means over blocks.
RouterGradients mean_of(const std::vector<RouterGradients>& blocks);

}  // namespace rmoe
