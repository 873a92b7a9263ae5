// What the paper saw of the same numbers (8 layers on enwik8), by router preset, to be put beside ours.
#pragma once

#include <optional>
#include <string_view>

namespace rmoe::paper {

struct InnerOuter {
  double inner, outer;
};
/// Table 8.
std::optional<InnerOuter> balance(std::string_view router);

struct Range {
  double low, high;
};
/// Figures 3, 6 and 7: lowest and highest mutual information of two layers.
std::optional<Range> mutual_information(std::string_view router);

}  // namespace rmoe::paper
