// Zero-shot evaluation: task files and a model in, accuracies and perplexities out.
#pragma once

#include "train/tasks/metrics.hpp"
#include "train/tasks/requests.hpp"

#include <functional>
#include <nlohmann/json_fwd.hpp>

namespace rmoe {

struct TaskOptions {
  std::filesystem::path folder;
  int64_t limit = 0;       // questions per task from its beginning; 0: all
  int64_t max_length = 0;  // tokens the model reads at most; 0: all there are
};

struct TaskResult {
  Task task;
  int64_t in_file = 0;  // questions, of which `questions` are the first
  std::vector<Question> questions = {};
  std::vector<std::vector<ScoreRequest>> requests = {};   // per question and choice
  std::vector<std::vector<Likelihood>> likelihoods = {};  // likewise
  std::vector<TaskMetric> metrics = {};
};

/// Counts the requests of one task; returns false to stop.
using TaskTick = std::function<bool(const Task& task, int64_t done, int64_t all)>;

/// Evaluates the tasks one after another. All files are read before the first request is scored. A result
/// without metrics was stopped.
std::vector<TaskResult> evaluate_tasks(const Model& model, const Tokenizer& tokenizer,
                                       const std::vector<Task>& tasks, const TaskOptions& options,
                                       const TaskTick& tick = {});

/// The harness's table, as Markdown.
std::string task_table(const std::vector<TaskResult>& results);
/// {"results", "versions", "n-shot", "higher_is_better", "n-samples"}, as the harness writes them.
nlohmann::ordered_json task_json(const std::vector<TaskResult>& results);
/// Every request with its log-likelihood, one JSON object a line.
std::string task_samples(const TaskResult& result);

}  // namespace rmoe
