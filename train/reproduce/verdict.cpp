#include "train/reproduce/results.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <functional>
#include <set>

namespace rmoe::reproduce {
namespace {

std::string join(const std::vector<std::string>& parts, const char* separator) {
  std::string text;
  for (const std::string& part : parts) text += (text.empty() ? "" : separator) + part;
  return text;
}

/// "−0.0042": a true minus sign.
std::string signed_text(double value) {
  return fmt::format("{}{:.4f}", value < 0 ? "−" : "+", std::fabs(value));
}

/// "austen: 4 layers, C = 128, 1000 steps of 1024 tokens" of every kind of run in the table.
std::string facts(const Results& results) {
  std::vector<std::string> kinds;
  for (const ResultRun& run : results.runs) {
    const TrainConfig& t = run.config.train;
    const std::string folder = run.name.substr(0, run.name.find('/'));
    const std::string kind =
        run.tuned ? fmt::format("fine-tuned in {} steps of {} examples", t.steps, t.batch)
                  : fmt::format("{}: {} layers, C = {}, {} steps of {} tokens", folder,
                                run.config.model.layers, run.config.model.hidden, t.steps, t.batch * t.block);
    if (std::ranges::find(kinds, kind) == kinds.end()) kinds.push_back(kind);
  }
  std::string text = fmt::format("Scale {}, {} seed{}; {}", results.scale, results.seeds,
                                 results.seeds == 1 ? "" : "s", join(kinds, "; "));
  if (!results.overrides.empty()) text += fmt::format(" (changed by {})", join(results.overrides, " "));
  return text + ".";
}

bool is_shown(const Summary& d) { return d.n > 1 && std::fabs(d.mean) > d.standard_error; }

/// "RMoE −0.0042 ± 0.0013" of the rows whose difference passes `test`, or "none".
template <class Test>
std::string differences(const Results& results, size_t column, const Test& test) {
  std::vector<std::string> parts;
  for (const ResultRow& row : results.rows)
    if (const Summary& d = row.cells[column].difference; d.n > 0 && test(d))
      parts.push_back(fmt::format("{} − {} = {}", row.row.label, results.rows[row.row.baseline].row.label,
                                  difference_text(d)));
  return parts.empty() ? "none" : join(parts, ", ");
}

/// Every row of a column against its baseline; empty if there is nothing to compare.
std::string comparison(const Results& results, size_t column) {
  const auto all = [](const Summary&) { return true; };
  const bool loss = is_loss(results.columns[column].paper.metric);
  const std::string heading =
      fmt::format("{}, {} is better. ", results.columns[column].heading, loss ? "lower" : "higher");
  if (differences(results, column, all) == "none") return "";
  if (results.seeds == 1)
    return heading + differences(results, column, all) +
           ". One seed has no standard error: none of this is evidence.";
  return fmt::format(
      "{}Differences larger than their standard error, as a third to a half are by chance alone: {}. Within "
      "it, "
      "so that nothing is shown: {}.",
      heading, differences(results, column, is_shown), differences(results, column, std::not_fn(is_shown)));
}

/// What a few questions are worth: the standard error of half right.
std::string limits_of_tasks(const Results& results) {
  const auto n = double(results.fewest_questions);
  return fmt::format(
      "A task of {} questions, as the smallest here is, gives an accuracy a standard error of up to {:.1f} "
      "points, whatever the seeds say.",
      results.fewest_questions, 50 / std::sqrt(n));
}

std::string limits(const Results& results, bool compared) {
  if (results.scale == "paper" && results.overrides.empty() && results.fewest_questions > 0)
    return "Model and steps are the paper's, the text is not: it does not say which it was.";
  if (results.scale == "paper" && results.overrides.empty())
    return "Model, steps and text are the paper's; its numbers come without a spread over seeds, so a "
           "difference in the last digits means nothing.";
  std::string text = "Runs this small cannot say what holds at the paper's scale.";
  if (compared)
    text +=
        " In a model of 4 layers and C = 128 an independent program saw the paper's order only as "
        "differences of 0.004 to 0.010 BPC, with paired seeds and after 3000 steps: unpaired runs or one "
        "seed prove nothing.";
  return text;
}

}  // namespace

std::string difference_text(const Summary& d) {
  return d.n < 2 ? signed_text(d.mean) : fmt::format("{} ± {:.4f}", signed_text(d.mean), d.standard_error);
}

std::vector<std::string> verdict(const Results& results) {
  std::vector<std::string> sentences{facts(results)};
  for (size_t c = 0; c < results.columns.size(); ++c)
    if (const Metric m = results.columns[c].paper.metric; m == Metric::valid || m == Metric::task_average)
      if (const std::string text = comparison(results, c); !text.empty()) sentences.push_back(text);
  const bool tasks = results.fewest_questions > 0, compared = sentences.size() > 1;
  if (tasks) sentences.push_back(limits_of_tasks(results));
  sentences.push_back(limits(results, compared && !tasks));
  return sentences;
}

}  // namespace rmoe::reproduce
