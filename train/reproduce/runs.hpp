// One run of a plan on disk: found as it is, trained to its end, evaluated. What a finished run has to say is
// kept beside its checkpoints:
//
//   RUN/result.json    loss of the best checkpoint on the whole of both splits
//   RUN/analysis.json  its analyses, if a table asked for them
//   RUN/tasks.json     its results in zero-shot tasks, likewise
//   RUN/measured.json  peak memory, and the machine
//   RUN/origin.json    of a fine-tuned run: the weights that it started from
#pragma once

#include "train/reproduce/plan.hpp"

#include <nlohmann/json.hpp>

namespace rmoe::reproduce {

struct RunState {
  int64_t step = 0;
  bool trained = false;    // to the last step, and validated there
  bool evaluated = false;  // result.json is of the checkpoint that is best now
  bool analyzed = false;   // analysis.json too, or no table asks for it
  bool scored = false;     // the same of tasks.json
};

/// What is there of a run. One of other settings or other data is an Error that names what differs.
RunState state_of(const Plan& plan, const PlannedRun& run);

/// Trains from where the run stands to its end; false if a signal came first (all is saved then).
bool train_to_end(const Plan& plan, const PlannedRun& run);

/// Evaluates the best checkpoint on all of validation and test; false if a signal came first.
bool evaluate_best(const Plan& plan, const PlannedRun& run);

/// Analyses the best checkpoint on test blocks; false if a signal came first.
bool analyze_best(const Plan& plan, const PlannedRun& run);

/// Scores the best checkpoint in the plan's tasks; false if a signal came first.
bool score_best(const Plan& plan, const PlannedRun& run);

/// The numbers of a run that is trained and evaluated.
struct Outcome {
  int64_t best_step = 0;
  double valid_loss = 0, test_loss = 0;       // nats per token
  int64_t valid_tokens = 0, test_tokens = 0;  // predicted; none of a corpus without a test split
  double seconds_per_1000_steps = 0;          // median over the log lines
  int64_t peak_bytes = 0;
  std::string machine;
  nlohmann::json analysis;  // null if the plan needs none
  nlohmann::json tasks;     // likewise; {"arc_easy": {"acc,none": 0.25, ...}, ...}
};
Outcome outcome_of(const Plan& plan, const PlannedRun& run);

/// The processor and the number of threads.
std::string machine_description();

}  // namespace rmoe::reproduce
