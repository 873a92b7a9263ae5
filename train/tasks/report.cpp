// What is said about evaluated tasks, in the forms of lm-evaluation-harness.
#include "train/tasks/evaluate_tasks.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace rmoe {
namespace {

using nlohmann::ordered_json;

constexpr double kVersion = 1.0;  // of the harness's definitions of all these tasks
constexpr const char* kFilter = "none";

std::vector<TaskMetric> by_name(std::vector<TaskMetric> metrics) {
  std::ranges::sort(metrics, {}, &TaskMetric::name);
  return metrics;
}

std::string four_digits(double value) { return fmt::format("{:.4f}", value); }

}  // namespace

std::string task_table(const std::vector<TaskResult>& results) {
  size_t name = 5, metric_name = 6, value = 5;
  for (const TaskResult& result : results) {
    name = std::max(name, result.task.name.size());
    for (const TaskMetric& m : result.metrics) {
      metric_name = std::max(metric_name, m.name.size());
      value = std::max(value, four_digits(m.value).size());
    }
  }
  std::string table = fmt::format("|{:<{}}|Version|Filter|n-shot|{:<{}}|   |{:>{}}|   |Stderr|\n", "Tasks",
                                  name, "Metric", metric_name, "Value", value);
  table += fmt::format("|{:-<{}}|------:|------|-----:|{:-<{}}|---|{:->{}}:|---|-----:|\n", "", name, "",
                       metric_name, "", value - 1);
  for (const TaskResult& result : results) {
    bool first = true;
    for (const TaskMetric& m : by_name(result.metrics)) {
      table += fmt::format("|{:<{}}|{:>7}|{:<6}|{:>6}|{:<{}}|{}  |{:>{}}|±  |{:>6}|\n",
                           first ? result.task.name : "", name, first ? fmt::format("{:g}", kVersion) : "",
                           kFilter, 0, m.name, metric_name, m.higher_is_better ? "↑" : "↓",
                           four_digits(m.value), value, m.error ? four_digits(*m.error) : "N/A");
      first = false;
    }
  }
  return table;
}

ordered_json task_json(const std::vector<TaskResult>& results) {
  ordered_json json;
  for (const TaskResult& result : results) {
    const std::string& name = result.task.name;
    ordered_json metrics{{"alias", name}}, better;
    for (const TaskMetric& m : result.metrics) {
      metrics[m.name + "," + kFilter] = m.value;
      metrics[m.name + "_stderr," + kFilter] = m.error ? ordered_json(*m.error) : ordered_json("N/A");
      better[m.name] = m.higher_is_better;
    }
    json["results"][name] = metrics;
    json["versions"][name] = kVersion;
    json["n-shot"][name] = 0;
    json["higher_is_better"][name] = better;
    json["n-samples"][name] = {{"original", result.in_file}, {"effective", result.questions.size()}};
  }
  return json;
}

std::string task_samples(const TaskResult& result) {
  std::string lines;
  for (size_t i = 0; i < result.questions.size(); ++i)
    for (size_t k = 0; k < result.requests[i].size(); ++k) {
      const Question& question = result.questions[i];
      const ScoreRequest& request = result.requests[i][k];
      const Likelihood& likelihood = result.likelihoods[i][k];
      const ordered_json line{{"task", result.task.name},
                              {"doc_id", i},
                              {"choice", k},
                              {"gold", question.gold},
                              {"context", question.context},
                              {"continuation", " " + question.choices[k]},
                              {"tokens", request.tokens},
                              {"context_tokens", request.first},
                              {"log_likelihood", likelihood.log_prob},
                              {"is_greedy", likelihood.is_greedy}};
      lines += line.dump() + "\n";
    }
  return lines;
}

}  // namespace rmoe
