// TensorBoard event files: records of (u64 length, masked CRC-32C of it, a protobuf Event, masked CRC-32C of
// that). Event: wall_time 1, step 2, file_version 3, summary 5, session_log 7.
// tensorflow/core/util/event.proto
#pragma once

#include "engine/files.hpp"

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace rmoe {

struct Histogram {
  double min = 0, max = 0, count = 0, sum = 0, sum_squares = 0;
  std::vector<double> limits;  // right edge of each bucket
  std::vector<double> counts;
};

/// How often values fall into `buckets` equal parts of their range. NaN and infinity are left out.
Histogram histogram_of(std::span<const double> values, int buckets = 30);
/// A bar per index, bar i over [i, i + 1): the load of each expert.
Histogram bars_of(std::span<const double> heights);

/// One event file of a run. Everything is handed to the system at once, for a TensorBoard that is watching.
class EventWriter {
 public:
  /// Always a new file. After a resume at `resumed_at`, TensorBoard forgets what the run before said of later
  /// steps.
  explicit EventWriter(const files::Path& folder, std::optional<int64_t> resumed_at = {});

  void scalar(int64_t step, std::string_view tag, double value);
  void histogram(int64_t step, std::string_view tag, const Histogram& histogram);

 private:
  files::Writer file_;
};

namespace tensorboard {
uint32_t crc32c(std::string_view bytes);
/// An event with its length and checksums, as it lies in the file.
std::string record(std::string_view event);
std::string version_event(double wall_time);
std::string start_event(double wall_time, int64_t step);  // drops what came before from `step` on
std::string scalar_event(double wall_time, int64_t step, std::string_view tag, double value);
std::string histogram_event(double wall_time, int64_t step, std::string_view tag, const Histogram& histogram);
}  // namespace tensorboard

}  // namespace rmoe
