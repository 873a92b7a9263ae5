#include "train/reproduce/reproduce.hpp"

#include "engine/files.hpp"
#include "train/progress.hpp"
#include "train/reproduce/budget.hpp"
#include "train/reproduce/output.hpp"
#include "train/signals.hpp"

#include <chrono>
#include <fmt/core.h>

namespace rmoe::reproduce {
namespace {

namespace fs = std::filesystem;

/// How long the rest will take, given how long what is done took against its estimate.
class Countdown {
 public:
  explicit Countdown(const Budget& budget) : estimates_(budget.seconds), left_(budget.total_seconds()) {}

  double remaining_s() const { return left_ * (expected_ > 0 ? spent_ / expected_ : 1); }
  void start() { start_ = std::chrono::steady_clock::now(); }
  void finish(size_t run) {
    spent_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
    expected_ += estimates_[run];
    left_ -= estimates_[run];
  }

 private:
  std::vector<double> estimates_;
  double left_, spent_ = 0, expected_ = 0;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

/// Brings one run to where the table can use it; false if a signal came first.
bool complete(const Plan& plan, const PlannedRun& run, const RunState& state) {
  if (!state.trained && !train_to_end(plan, run)) return false;
  if (!state.evaluated && !evaluate_best(plan, run)) return false;
  if (!state.scored && !score_best(plan, run)) return false;
  return state.analyzed || analyze_best(plan, run);
}

bool is_complete(const RunState& state) {
  return state.trained && state.evaluated && state.analyzed && state.scored;
}

/// False if a signal came first.
bool complete_all(const Plan& plan, const std::vector<RunState>& states, const Budget& budget) {
  Countdown countdown(budget);
  for (size_t i = 0; i < plan.runs.size(); ++i) {
    const PlannedRun& run = plan.runs[i];
    if (is_complete(states[i])) continue;
    fmt::print(stderr, "run {} of {}: {}, seed {} ({}); about {} left in all\n", i + 1, plan.runs.size(),
               run.router, run.seed, run.name, format_duration(countdown.remaining_s()));
    countdown.start();
    if (!complete(plan, run, states[i])) return false;
    countdown.finish(i);
  }
  return true;
}

void write(const Plan& plan) {
  const Results results = collect(plan);
  const auto path = [&](const char* ending) {
    return plan.request.out / fmt::format("{}-{}.{}", results.table, results.scale, ending);
  };
  const std::string markdown = to_markdown(results);
  files::make_folder(plan.request.out);
  files::replace(path("md"), markdown);
  files::replace(path("json"), to_json(results).dump(1) + "\n");
  files::replace(path("html"), to_html(results));
  fmt::print("\n{}\nwritten: {}, .json and .html\n", markdown, path("md").string());
}

}  // namespace

Ending reproduce(const Request& request, bool dry_run) {
  const Plan plan = make_plan(request);
  std::vector<RunState> states;
  for (const PlannedRun& run : plan.runs) states.push_back(state_of(plan, run));
  const Budget budget = estimate(plan, states);
  if (stop_requested()) return Ending::interrupted;
  fmt::print("{}", to_text(budget, plan));
  std::fflush(stdout);
  if (dry_run) return Ending::done;
  if (!complete_all(plan, states, budget)) return Ending::interrupted;
  write(plan);
  return Ending::done;
}

}  // namespace rmoe::reproduce
