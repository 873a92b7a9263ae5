#include "models/scope.hpp"

#include "engine/orthogonal.hpp"
#include "engine/random.hpp"
#include "engine/rehearsal.hpp"

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

Scope Scope::exact() const {
  Scope child = *this;
  child.dtype_ = acc_type(dtype_);
  return child;
}

/// Drawn on the CPU, in fp32 at least: the same on every device, and rounded once.
Tensor Scope::initial_value(const std::string& key, Shape shape, Init init) const {
  if (rehearsing()) return empty(shape, acc_type(dtype_), device_);
  const Tensor value = empty(shape, acc_type(dtype_), device_ == Device::meta ? Device::meta : Device::cpu);
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
  return to(value, device_);
}

namespace {

bool is_matrix(const Shape& shape, const Init& init) {
  return shape.rank() >= 2 && init.kind != Init::Kind::constant;  // biases start constant
}

}  // namespace

Var Scope::parameter(const std::string& name, Shape shape, Init init) const {
  const std::string key = join(name);
  return add(key, initial_value(key, shape, init), is_matrix(shape, init), false);
}

Var Scope::spread_parameter(const std::string& name, Shape shape, Init init) const {
  if (!ranks_) return parameter(name, shape, init);
  const int64_t E = shape[0], share = E / ranks_->size();
  RMOE_CHECK(share * ranks_->size() == E, "model: ", E, " experts cannot be spread evenly over ",
             ranks_->size(), " ranks");
  const std::string key = join(name);
  const Tensor all = initial_value(key, shape, init);
  return add(key, clone(all.rows(share * ranks_->rank(), share)), is_matrix(shape, init), true);
}

Var Scope::add(const std::string& key, const Tensor& master, bool matrix, bool spread) const {
  const bool taken =
      std::any_of(parameters_.begin(), parameters_.end(), [&](const Parameter& p) { return p.name == key; });
  RMOE_CHECK(!taken, "model: two parameters are called ", key);
  const Tensor value = to(master, dtype_);
  parameters_.push_back({key, trainable_ ? Var::leaf(value) : Var(value), matrix, master, spread});
  return parameters_.back().var;
}

void round_from_masters(const Parameters& parameters) {
  for (const Parameter& p : parameters)
    if (p.master && p.var.value().dtype() != p.master.dtype()) copy(p.var.value(), p.master);
}

uint64_t Scope::path_hash() const { return hash(path_); }

}  // namespace rmoe
