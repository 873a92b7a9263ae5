// A table filled with our numbers: what the writers take.
#pragma once

#include "train/reproduce/runs.hpp"
#include "train/reproduce/statistics.hpp"

namespace rmoe::reproduce {

/// One number of the table: over seeds, and against the same seeds of the baseline's row.
struct Cell {
  std::vector<size_t> runs = {};    // index into Results::runs, seed by seed; empty: nothing of ours here
  std::vector<double> values = {};  // one per run
  Summary summary = {};
  Summary difference = {};  // n = 0 where none is taken
};

struct ResultColumn {
  Column paper;
  std::string heading;  // of our numbers: "austen val BPC"; empty if no text stands for the column
};

struct ResultRow {
  Row row;
  std::vector<Cell> cells;  // one per column
};

struct ResultRun {
  std::string name, router;
  int64_t seed = 0;
  bool words = false, tuned = false;
  Config config = {};
  ParameterCounts parameters = {};
  Outcome outcome = {};
};

struct Results {
  std::string table, title, note, scale;
  Drawing drawing = Drawing::none;
  int64_t seeds = 0;
  int64_t fewest_questions = 0;        // of a zero-shot task; 0: there are none
  std::vector<std::string> overrides;  // of the scale's configs: --set, --steps, --config, --data
  std::vector<ResultColumn> columns;
  std::vector<ResultRow> rows;
  std::vector<ResultRun> runs;
};

/// Every run of the plan must be trained and evaluated.
Results collect(const Plan& plan);

/// Is this a measurement of time or memory, which no second run repeats?
bool is_measured(Metric metric);
/// Is this a loss, lower is better?
bool is_loss(Metric metric);
/// Are rows compared by it?
bool is_compared(Metric metric);

/// What the results say and what they cannot say, from the facts alone: one sentence each.
std::vector<std::string> verdict(const Results& results);

/// "+0.0042 ± 0.0013", or "+0.0042" of one seed; true minus signs.
std::string difference_text(const Summary& difference);

}  // namespace rmoe::reproduce
