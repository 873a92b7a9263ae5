// Scope: the only way to make a parameter. Its path is the checkpoint key, and the initial value of a
// parameter depends on (seed, key) alone, so models that share a key share the value.
#pragma once

#include "autograd/var.hpp"
#include "engine/comm/communicator.hpp"

#include <string>
#include <vector>

namespace rmoe {

/// How a parameter starts.
struct Init {
  enum class Kind { constant, uniform, normal, orthogonal };
  Kind kind;
  double value;  // the constant, the bound of [-value, value), the standard deviation, or the gain

  static Init constant(double c) { return {Kind::constant, c}; }
  static Init uniform(double bound) { return {Kind::uniform, bound}; }
  static Init normal(double stddev) { return {Kind::normal, stddev}; }
  static Init orthogonal(double gain) { return {Kind::orthogonal, gain}; }
  /// torch's default of a linear layer and its bias.
  static Init fan_in(int64_t fan_in);
};

struct Parameter {
  std::string name;
  Var var;
  bool matrix = false;  // of two dimensions and more, but for biases stacked over experts
  /// What is trained and saved: the value of `var` itself, unless that is bf16. Then it is the fp32 value
  /// which `var` is rounded from; undefined once an optimizer has cut it among ranks.
  Tensor master = {};
  bool spread = false;  // over ranks: a share of the first dimension
};
using Parameters = std::vector<Parameter>;  // in the order of construction

/// Rounds what is rounded from a master, once that was written to.
void round_from_masters(const Parameters& parameters);

class Scope {
 public:
  /// With `ranks`, spread parameters are cut among them.
  Scope(Parameters& parameters, uint64_t seed, DType dtype, Device device, Communicator* ranks = nullptr)
      : parameters_(parameters), seed_(seed), dtype_(dtype), device_(device), ranks_(ranks) {}

  Scope operator/(const std::string& name) const;
  Scope operator/(int64_t index) const { return *this / std::to_string(index); }
  /// The same place, whose parameters are never trained: they are counted and saved, but take no gradient.
  Scope frozen() const;
  /// The same place, whose parameters are fp32 in a bf16 model too: routers.
  Scope exact() const;
  Var parameter(const std::string& name, Shape shape, Init init) const;
  /// This rank's share of a stack of experts [E,...]: as many for each rank, all of them without ranks.
  Var spread_parameter(const std::string& name, Shape shape, Init init) const;
  /// Null unless spread parameters are cut.
  Communicator* ranks() const { return ranks_; }
  /// Identifies the module in random streams.
  uint64_t path_hash() const;

 private:
  Tensor initial_value(const std::string& key, Shape shape, Init init) const;
  Var add(const std::string& key, const Tensor& master, bool matrix, bool spread) const;
  std::string join(const std::string& name) const { return path_.empty() ? name : path_ + "." + name; }

  Parameters& parameters_;
  uint64_t seed_;
  DType dtype_;
  Device device_;
  Communicator* ranks_;
  bool trainable_ = true;
  std::string path_;
};

}  // namespace rmoe
