// What a run says while it goes on: a live line on a terminal, plain lines in a log file.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <iosfwd>
#include <optional>
#include <string>

namespace rmoe {

struct StepReport {
  int64_t step = 0, steps = 0;
  double loss = 0;     // nats per token
  bool words = false;  // tokens are words: perplexity instead of bits per character
  double lr = 0;
  double grad_norm = 0;
  double tokens_per_s = 0;
  double peak_share = 0;                  // FLOP/s against measure_gemm_peak()
  int64_t memory_bytes = 0;               // peak
  double expert_load = 0;                 // busiest expert / mean, of the worst layer; 0 without experts
  double router_entropy = 0;              // nats, mean over tokens and layers
  std::optional<double> drop_ratio = {};  // of assignments, where experts have a capacity
  double remaining_s = 0;
};

/// One line, the most important first: what does not fit a terminal is cut off at the end.
std::string format_step(const StepReport& report);
/// 59s, 12m05s, 3h07m, 2d04h.
std::string format_duration(double seconds);

class ProgressLine {
 public:
  /// Writes to standard error.
  explicit ProgressLine(int64_t log_every);
  /// `width` gives the columns of the terminal behind `out`, 0 if there is none.
  ProgressLine(std::ostream& out, int64_t log_every, std::function<int()> width, double refresh_s);
  ~ProgressLine();
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

  /// On a terminal redraws the live line, at most every refresh_s; else prints a line every log_every steps.
  /// The last step is always shown.
  void step(const StepReport& report);
  /// A live line that counts, "what 34 of 100"; nothing outside a terminal.
  void count(const std::string& what, int64_t done, int64_t all);
  /// A line that stays: a validation, a checkpoint, a warning.
  void say(const std::string& line);

 private:
  using Clock = std::chrono::steady_clock;

  void draw(const std::string& line, int width);
  void end_live_line();

  std::ostream& out_;
  int64_t log_every_;
  std::function<int()> width_;
  std::chrono::duration<double> refresh_;
  Clock::time_point drawn_{};
  bool live_ = false;  // the cursor stands behind a line that may be redrawn
};

}  // namespace rmoe
