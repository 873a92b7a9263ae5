#include "models/scope.hpp"

#include "engine/orthogonal.hpp"
#include "engine/random.hpp"

#include <algorithm>
#include <cmath>

namespace rmoe {

Init Init::fan_in(int64_t fan_in) { return uniform(1 / std::sqrt(double(fan_in))); }

Scope Scope::operator/(const std::string& name) const {
  Scope child = *this;
  child.path_ = join(name);
  return child;
}

Scope Scope::frozen() const {
  Scope child = *this;
  child.trainable_ = false;
  return child;
}

Var Scope::parameter(const std::string& name, Shape shape, Init init) const {
  const std::string key = join(name);
  const bool taken =
      std::any_of(parameters_.begin(), parameters_.end(), [&](const Parameter& p) { return p.name == key; });
  RMOE_CHECK(!taken, "model: two parameters are called ", key);
  const Tensor value = empty(shape, dtype_, device_);
  switch (init.kind) {
    case Init::Kind::constant:
      fill(value, init.value);
      break;
    case Init::Kind::uniform:
      fill_uniform(value, -init.value, init.value, seed_, hash(key));
      break;
    case Init::Kind::normal:
      fill_normal(value, 0, init.value, seed_, hash(key));
      break;
    case Init::Kind::orthogonal:
      fill_orthogonal(value, init.value, seed_, hash(key));
      break;
  }
  const bool matrix = shape.rank() >= 2 && init.kind != Init::Kind::constant;  // biases start constant
  parameters_.push_back({key, trainable_ ? Var::leaf(value) : Var(value), matrix});
  return parameters_.back().var;
}

uint64_t Scope::path_hash() const { return hash(path_); }

}  // namespace rmoe
