// Which runs a table needs: its rows and columns, crossed with the texts at hand and the seeds.
#pragma once

#include "data/corpus.hpp"
#include "train/account.hpp"
#include "train/reproduce/scale.hpp"
#include "train/sft/examples.hpp"
#include "train/tasks/evaluate_tasks.hpp"

#include <filesystem>
#include <optional>

namespace rmoe::reproduce {

/// What the user asked for.
struct Request {
  std::string table, scale = "tiny";
  std::string config, data;            // instead of the scale's
  std::string finetune, instructions;  // likewise: config and examples of fine-tuning
  std::string tasks;                   // likewise: folder of the tasks' files
  int64_t steps = -1, seeds = -1;      // -1: the scale's
  std::vector<std::string> routers;    // empty: all of the table's
  std::vector<std::string> overrides;  // "a.b=v", applied to the medium model
  std::filesystem::path out = "runs/reproduce";
};

/// A text to train on, and the column of the paper it stands for.
struct Text {
  Benchmark stands_for;
  std::string name = {};  // of its file or folder
  Config medium = {};
  Corpus corpus = Corpus();

  bool words() const { return !corpus.tokenizer->is_byte_level(); }
};

struct PlannedRun {
  std::string name;  // its folder below Request::out, tiny-austen/rmoe-seed1
  std::string router;
  int64_t seed;
  size_t text;                 // index into Plan::texts
  std::optional<size_t> base;  // index of the pre-trained run that this one fine-tunes
  Config config;
  Account account;
};

/// The zero-shot tasks of a table, as their files have them.
struct PlannedTasks {
  std::vector<Task> tasks;
  TaskOptions options;
  std::string fingerprint;  // of all questions, in order
  int64_t fewest = 0;       // questions of a task
  int64_t tokens = 0;       // to score all of them
};

struct Plan {
  Request request;
  PaperTable table;   // rows that are not wanted are gone
  std::string scale;  // its name; of a config of the user's own, that of its file
  int64_t seeds = 0;
  std::vector<Text> texts;
  std::optional<PlannedTasks> tasks;
  std::optional<Examples> examples;  // of fine-tuning
  std::vector<PlannedRun> runs;      // seed by seed, so that what is there first can be compared

  std::filesystem::path folder(const PlannedRun& run) const { return request.out / run.name; }
  /// Do the table's numbers need the trained models analysed?
  bool needs_analysis() const;
  /// The run behind a number of the table; none if no text stands for the column.
  std::optional<size_t> run_of(const Column& column, const Row& row, int64_t seed) const;
};

/// Reads configs and texts; all that is wrong with the request comes out here.
Plan make_plan(const Request& request);

}  // namespace rmoe::reproduce
