#include "train/metrics.hpp"

#include "train/exact.hpp"

#include <cmath>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace rmoe {
namespace {

using nlohmann::json;

std::string json_of(int64_t value) { return std::to_string(value); }
std::string json_of(double value) { return std::isfinite(value) ? exact(value) : "null"; }
std::string json_of(bool value) { return value ? "true" : "false"; }
std::string json_of(const std::string& text) {
  return json(text).dump(-1, ' ', false, json::error_handler_t::replace);
}
std::string json_of(const std::vector<double>& values) {
  std::string text = "[";
  for (const double value : values) text.append(text.size() > 1 ? "," : "").append(json_of(value));
  return text + "]";
}

/// True if this is a whole line of a step up to `last`; a line cut off by a crash is not.
bool keeps(const std::string& line, int64_t last) {
  const json object = json::parse(line, nullptr, /*allow_exceptions=*/false);
  return object.is_object() && object.contains("step") && object["step"].is_number_integer() &&
         object["step"] <= last;
}

std::string lines_up_to(const std::string& text, int64_t last) {
  std::string kept;
  for (size_t begin = 0, end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1)
    if (const std::string line = text.substr(begin, end - begin); keeps(line, last)) kept += line + '\n';
  return kept;
}

/// Brings the file to where the run begins or goes on, and returns its name.
const files::Path& prepared(const files::Path& path, std::optional<int64_t> resumed_at) {
  const bool keep = resumed_at && std::filesystem::exists(path);
  files::replace(path, keep ? lines_up_to(files::read(path), *resumed_at) : "");
  return path;
}

}  // namespace

std::string json_line(int64_t step, const std::vector<Metric>& metrics) {
  std::string line = fmt::format("{{\"step\":{}", step);
  for (const Metric& metric : metrics)
    line += fmt::format(",{}:{}", json_of(metric.name),
                        std::visit([](const auto& value) { return json_of(value); }, metric.value));
  return line + "}";
}

MetricsWriter::MetricsWriter(const files::Path& path, std::optional<int64_t> resumed_at)
    : file_(prepared(path, resumed_at), files::Writer::Mode::append) {}

void MetricsWriter::write(int64_t step, const std::vector<Metric>& metrics) {
  file_.write(json_line(step, metrics) + "\n");
}

}  // namespace rmoe
