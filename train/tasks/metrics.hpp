// What log-likelihoods say about a task: the metrics of lm-evaluation-harness and their standard errors.
#pragma once

#include "train/tasks/task.hpp"

#include <optional>
#include <span>

namespace rmoe {

struct Likelihood {
  double log_prob = 0;     // nats, summed over the tokens of a choice
  bool is_greedy = false;  // each of them was the likeliest
};

struct TaskMetric {
  std::string name;  // acc, acc_norm, perplexity
  double value = 0;
  std::optional<double> error = {};  // standard error; none for a single question
  bool higher_is_better = true;
};

/// Chosen: acc, the share of questions whose right choice is the likeliest, and acc_norm, the same per code
/// point of the choice; the first wins a tie. Predicted: perplexity, exp of the mean nats per question, and
/// acc, the share predicted greedily. `likelihoods` has one entry per question and choice.
std::vector<TaskMetric> metrics_of(const Task& task, std::span<const Question> questions,
                                   std::span<const std::vector<Likelihood>> likelihoods);

}  // namespace rmoe
