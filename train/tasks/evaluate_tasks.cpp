#include "train/tasks/evaluate_tasks.hpp"

#include "engine/error.hpp"

namespace rmoe {
namespace {

TaskResult prepare(const Task& task, const Tokenizer& tokenizer, const TaskOptions& options) {
  TaskResult result{.task = task, .in_file = 0, .questions = load_questions(task, options.folder)};
  result.in_file = int64_t(result.questions.size());
  if (options.limit > 0) result.questions.resize(size_t(std::min(options.limit, result.in_file)));
  for (size_t i = 0; i < result.questions.size(); ++i) {
    try {
      result.requests.push_back(requests_of(result.questions[i], tokenizer, options.max_length));
    } catch (const Error& error) {
      fail("tasks: ", task.name, ", question ", i, ": ", error.what());
    }
  }
  return result;
}

Likelihood sum_of(const ScoreRequest& request, const std::vector<TokenScore>& scores) {
  Likelihood sum{0, true};
  for (size_t t = 0; t < scores.size(); ++t) {
    sum.log_prob += double(scores[t].log_prob);
    sum.is_greedy = sum.is_greedy && scores[t].best == request.tokens[size_t(request.first) + t];
  }
  return sum;
}

/// Scores all choices of all questions; false if that was stopped.
bool score_task(const Model& model, TaskResult& result, const TaskTick& tick) {
  std::vector<ScoreRequest> all;
  for (const auto& requests : result.requests) all.insert(all.end(), requests.begin(), requests.end());
  bool stopped = false;
  const auto scores = score(model, all, [&](int64_t done, int64_t of) {
    stopped = stopped || (tick && !tick(result.task, done, of));
    return !stopped;
  });
  if (stopped) return false;
  size_t next = 0;
  for (const auto& requests : result.requests) {
    std::vector<Likelihood>& question = result.likelihoods.emplace_back();
    for (const ScoreRequest& request : requests) question.push_back(sum_of(request, scores[next++]));
  }
  return true;
}

}  // namespace

std::vector<TaskResult> evaluate_tasks(const Model& model, const Tokenizer& tokenizer,
                                       const std::vector<Task>& tasks, const TaskOptions& options,
                                       const TaskTick& tick) {
  std::vector<TaskResult> results;
  for (const Task& task : tasks) results.push_back(prepare(task, tokenizer, options));
  for (TaskResult& result : results) {
    if (!score_task(model, result, tick)) break;
    result.metrics = metrics_of(result.task, result.questions, result.likelihoods);
  }
  return results;
}

}  // namespace rmoe
