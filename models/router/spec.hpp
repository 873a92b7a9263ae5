// What a router is made of: three small choices.
//
//   features  what the head reads: x itself, or a recurrent state that runs over layers
//   head      features -> E logits
//   gate      softmax, top-K, renormalise; it may add a share of the previous layer's logits
#pragma once

#include "models/router/cell.hpp"
#include "models/router/head.hpp"

#include <optional>
#include <string>

namespace rmoe {

/// How the state of layer i-1 reaches the cell of layer i.
enum class Passing {
  passed,    // with its gradient (the paper's recurrent gradient)
  detached,  // the value alone
  none       // not at all ("NP"): every layer starts from h_0
};

struct RouterSpec {
  const CellKind* cell = nullptr;  // none: the head reads x
  bool projector = true;           // the cell reads Proj_i x, with one Proj_i per layer; else x itself
  Passing passing = Passing::passed;
  MakeHead head = make_head<LinearHead>;
  int64_t head_width = 0;  // HeadOptions::width
  bool frozen_head = false;
  double logit_residual = 0;     // a: the gate reads logits_i + a logits_{i-1}
  bool detach_residual = false;  // without the gradient of logits_{i-1}
};

/// The preset called `name`, or nothing for "dense"; a UsageError listing the names if there is none such.
std::optional<RouterSpec> router_spec(const std::string& name);
/// All presets, "dense" among them, in the paper's order.
std::vector<std::string> router_names();

}  // namespace rmoe
