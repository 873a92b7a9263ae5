// RUN/metrics.jsonl: one JSON object per line, numbers printed so that they read back to the same bits. After
// a resume the file reads as if the run had never stopped.
#pragma once

#include "engine/files.hpp"

#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace rmoe {

using MetricValue = std::variant<int64_t, double, bool, std::string, std::vector<double>>;

struct Metric {
  std::string name;
  MetricValue value;
};

/// The line {"step":S,...}, in the given order, without its end. NaN and infinity become null.
std::string json_line(int64_t step, const std::vector<Metric>& metrics);

class MetricsWriter {
 public:
  /// Starts the file anew, or, resumed at a step, drops every line of a later one.
  explicit MetricsWriter(const files::Path& path, std::optional<int64_t> resumed_at = {});

  void write(int64_t step, const std::vector<Metric>& metrics);
  /// Forces the lines to disk: before a checkpoint that counts on them.
  void sync() { file_.sync(); }

 private:
  files::Writer file_;
};

}  // namespace rmoe
