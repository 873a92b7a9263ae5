#include "train/analysis/paper.hpp"

#include <map>

namespace rmoe::paper {
namespace {

template <class Value>
std::optional<Value> find(const std::map<std::string_view, Value>& values, std::string_view router) {
  const auto at = values.find(router);
  return at == values.end() ? std::nullopt : std::optional(at->second);
}

}  // namespace

std::optional<InnerOuter> balance(std::string_view router) {
  static const std::map<std::string_view, InnerOuter> kTable8 = {
      {"smoe", {34.68, 0.915}},    {"hyper", {34.60, 0.920}},        {"cosine", {7.611, 0.794}},
      {"xmoe", {19.93, 0.861}},    {"random", {2.000, 0.414}},       {"rmoe", {2.021, 0.573}},
      {"rmoe-np", {16.58, 0.842}}, {"rmoe-np-r0.5", {2.792, 0.661}}, {"rmoe-np-r1.0", {1.147, 0.212}}};
  return find(kTable8, router);
}

std::optional<Range> mutual_information(std::string_view router) {
  static const std::map<std::string_view, Range> kFigure3 = {
      {"smoe", {0.16, 0.22}}, {"rmoe", {0.88, 1.12}}, {"rmoe-np", {0.46, 0.52}}};
  return find(kFigure3, router);
}

}  // namespace rmoe::paper
