#include "train/weights.hpp"

#include <map>

namespace rmoe {

std::vector<NamedTensor> named_values(const Parameters& parameters) {
  std::vector<NamedTensor> values;
  for (const Parameter& p : parameters) values.push_back({p.name, p.master});
  return values;
}

void assign(const std::string& what, const std::vector<NamedTensor>& target,
            const std::vector<NamedTensor>& source) {
  std::map<std::string, Tensor> found;
  for (const NamedTensor& s : source) found[s.name] = s.tensor;
  std::string offenders;
  const auto offend = [&](const auto&... text) {
    offenders += concat(offenders.empty() ? "" : "; ", text...);
  };
  for (const NamedTensor& t : target) {
    const auto s = found.find(t.name);
    if (s == found.end())
      offend(t.name, " is missing");
    else if (s->second.shape() != t.tensor.shape())
      offend(t.name, " has shape ", s->second.shape(), ", wanted ", t.tensor.shape());
  }
  std::map<std::string, bool> wanted;
  for (const NamedTensor& t : target) wanted[t.name] = true;
  for (const NamedTensor& s : source)
    if (!wanted.count(s.name)) offend(s.name, " is not in the model");
  RMOE_CHECK(offenders.empty(), what, ": does not fit the model: ", offenders);
  for (const NamedTensor& t : target) copy(t.tensor, found[t.name]);
}

void assign(const std::string& what, const Parameters& target, const std::vector<NamedTensor>& source) {
  assign(what, named_values(target), source);
  round_from_masters(target);
}

}  // namespace rmoe
