// A filled table as Markdown, JSON and HTML. The same numbers stand in all three; only JSON has every run.
#pragma once

#include "train/report/page.hpp"
#include "train/reproduce/results.hpp"

#include <nlohmann/json.hpp>

namespace rmoe::reproduce {

/// The paper's layout, its numbers in the cell beside ours. A series of layers stands upright: one row per
/// number of layers.
report::Table layout(const Results& results);
/// What the cells mean.
std::string caption(const Results& results);

std::string to_markdown(const Results& results);
/// Everything but "measured" is the same whenever the same runs are made again: times and memory are apart.
nlohmann::ordered_json to_json(const Results& results);
std::string to_html(const Results& results);

/// The figures of a page: what the paper draws, side by side, with a caption. None for a plain table.
struct Figures {
  std::vector<std::string> svgs;
  std::string caption;
};
std::vector<Figures> drawings(const Results& results);

}  // namespace rmoe::reproduce
