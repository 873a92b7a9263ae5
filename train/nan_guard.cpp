#include "train/nan_guard.hpp"

#include <optional>

namespace rmoe {
namespace {

constexpr const char* kCure = "; lower optimizer.lr or set optimizer.clip, then go on with --resume";

/// Throws if `x` holds a value that is not finite. Steps are counted from 1 for people.
void check(const Tensor& x, const std::string& name, int64_t step) {
  const int64_t bad = x ? first_non_finite(x) : -1;
  RMOE_CHECK(bad < 0, "train: step ", step + 1, ": ", name, " is not finite (element ", bad, " of ",
             x.shape(), ")", kCure);
}

}  // namespace

void explain_bad_forward(const Model& model, const Tensor& inputs, const Tensor& targets,
                         const Memory& memory, Context context, bool may_repeat) {
  const NoGrad guard;
  for (const Parameter& p : model.parameters()) check(p.var.value(), p.name, context.step);
  for (size_t i = 0; i < memory.size(); ++i) check(memory[i], concat("memory of layer ", i), context.step);
  RMOE_CHECK(may_repeat, "train: step ", context.step + 1, ": a loss is not finite", kCure);
  context.keep_outputs = true;
  const ModelOutput output = model(inputs, memory, context);
  for (size_t i = 0; i < output.layers.size(); ++i) {
    check(output.layers[i].routing.logits.value(), concat("layers.", i, ".router_logits"), context.step);
    check(output.layers[i].output, concat("layers.", i, ".output"), context.step);
  }
  check(token_loss(output, targets).value(), "loss", context.step);
  fail("train: step ", context.step + 1, ": a loss of the routers is not finite", kCure);
}

void explain_bad_gradient(const Model& model, int64_t step) {
  for (const Parameter& p : model.parameters()) check(p.var.grad(), "grad." + p.name, step);
  fail("train: step ", step + 1, ": the gradient norm overflows", kCure);
}

}  // namespace rmoe
