// Every router of the paper, by name. A new one is one line here.
#include "models/router/spec.hpp"

#include <algorithm>
#include <utility>

namespace rmoe {
namespace {

constexpr int64_t kHidden = 256;  // width of the MLP head and of the hypernet

struct Preset {
  const char* name;
  RouterSpec spec;
};

const std::vector<Preset>& presets() {
  static const std::vector<Preset> all = {
      // The head reads x.
      {"smoe", {}},
      {"smoe-mlp", {.head = make_head<MlpHead>, .head_width = kHidden}},
      {"random", {.frozen_head = true}},
      {"hyper", {.head = make_head<HyperHead>, .head_width = kHidden}},
      {"cosine", {.head = make_head<CosineHead>}},
      {"xmoe8", {.head = make_head<CosineHead>, .head_width = 8}},
      {"xmoe", {.head = make_head<CosineHead>, .head_width = 16}},
      {"xmoe32", {.head = make_head<CosineHead>, .head_width = 32}},
      // The head reads a recurrent state.
      {"rmoe", {.cell = &kGru}},
      {"rmoe-rnn", {.cell = &kRnn}},
      {"rmoe-lstm", {.cell = &kLstm}},
      {"rmoe-shared-proj", {.cell = &kGru, .projector = false}},
      {"rmoe-detach", {.cell = &kGru, .passing = Passing::detached}},
      {"rmoe-np", {.cell = &kGru, .passing = Passing::none}},
      {"rmoe-np-r0.5", {.cell = &kGru, .passing = Passing::none, .logit_residual = 0.5}},
      {"rmoe-np-r1.0", {.cell = &kGru, .passing = Passing::none, .logit_residual = 1.0}},
      {"rmoe-np-r0.5-detach",
       {.cell = &kGru, .passing = Passing::none, .logit_residual = 0.5, .detach_residual = true}},
      {"rmoe-np-r1.0-detach",
       {.cell = &kGru, .passing = Passing::none, .logit_residual = 1.0, .detach_residual = true}},
      {"xmoe8-rmoe", {.cell = &kGru, .head = make_head<CosineHead>, .head_width = 8}},
      {"xmoe-rmoe", {.cell = &kGru, .head = make_head<CosineHead>, .head_width = 16}},
      {"xmoe32-rmoe", {.cell = &kGru, .head = make_head<CosineHead>, .head_width = 32}},
  };
  return all;
}

std::string list_of_names() {
  std::string list;
  for (const std::string& name : router_names()) list += (list.empty() ? "" : ", ") + name;
  return list;
}

}  // namespace

std::vector<std::string> router_names() {
  std::vector<std::string> names{"dense"};
  for (const Preset& preset : presets()) names.push_back(preset.name);
  return names;
}

std::optional<RouterSpec> router_spec(const std::string& name) {
  if (name == "dense") return std::nullopt;
  const auto found = std::ranges::find(presets(), name, &Preset::name);
  if (found == presets().end())
    throw UsageError(concat("router: there is no \"", name, "\"; known are ", list_of_names()));
  return found->spec;
}

}  // namespace rmoe
