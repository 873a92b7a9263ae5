#include "train/weights.hpp"

#include <map>

namespace rmoe {

std::vector<NamedTensor> named_values(const Parameters& parameters) {
  std::vector<NamedTensor> values;
  for (const Parameter& p : parameters) values.push_back({p.name, p.master});
  return values;
}

std::vector<Tensor> find_all(const std::string& what, const std::vector<NamedShape>& wanted,
                             const std::vector<NamedTensor>& source) {
  std::map<std::string, Tensor> left;
  for (const NamedTensor& s : source) left[s.name] = s.tensor;
  std::string offenders;
  const auto offend = [&](const auto&... text) {
    offenders += concat(offenders.empty() ? "" : "; ", text...);
  };
  std::vector<Tensor> found;
  for (const NamedShape& w : wanted) {
    const auto s = left.find(w.name);
    if (s == left.end()) {
      offend(w.name, " is missing");
      continue;
    }
    if (s->second.shape() != w.shape) offend(w.name, " has shape ", s->second.shape(), ", wanted ", w.shape);
    found.push_back(s->second);
    left.erase(s);
  }
  for (const NamedTensor& s : source)
    if (left.contains(s.name)) offend(s.name, " is not in the model");
  RMOE_CHECK(offenders.empty(), what, ": does not fit the model: ", offenders);
  return found;
}

void assign(const std::string& what, const std::vector<NamedTensor>& target,
            const std::vector<NamedTensor>& source) {
  std::vector<NamedShape> wanted;
  for (const NamedTensor& t : target) wanted.push_back({t.name, t.tensor.shape()});
  const std::vector<Tensor> found = find_all(what, wanted, source);
  for (size_t i = 0; i < target.size(); ++i) copy(target[i].tensor, found[i]);
}

void assign(const std::string& what, const Parameters& target, const std::vector<NamedTensor>& source) {
  assign(what, named_values(target), source);
  round_from_masters(target);
}

}  // namespace rmoe
