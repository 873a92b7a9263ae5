#include "train/reproduce/output.hpp"

#include <fmt/format.h>
#include <set>

namespace rmoe::reproduce {

std::string to_html(const Results& results) {
  std::set<std::string> machines;
  for (const ResultRun& run : results.runs) machines.insert(run.outcome.machine);
  report::Page page(
      results.title,
      fmt::format("At scale {}; the paper's numbers, where it gives any, beside ours.", results.scale));
  for (const Figures& figures : drawings(results)) page.figures(figures.svgs, figures.caption);
  page.table(layout(results), caption(results));
  if (!results.note.empty()) page.note(results.note);
  page.heading("What this shows, and what it does not");
  for (const std::string& sentence : verdict(results)) page.paragraph(sentence);
  page.heading("Where it was measured");
  for (const std::string& machine : machines) page.paragraph(machine);
  return page.html();
}

}  // namespace rmoe::reproduce
