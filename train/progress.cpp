#include "train/progress.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <iostream>
#include <numbers>
#include <sys/ioctl.h>
#include <unistd.h>

namespace rmoe {
namespace {

int terminal_width() {
  winsize size{};
  if (!isatty(STDERR_FILENO)) return 0;
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

/// 940, 12.3k, 4.5M.
std::string format_count(double n) {
  if (n < 1e3) return fmt::format("{:.0f}", n);
  return n < 1e6 ? fmt::format("{:.1f}k", n / 1e3) : fmt::format("{:.1f}M", n / 1e6);
}

std::string format_bytes(int64_t bytes) {
  return bytes < 1e9 ? fmt::format("{:.0f} MB", double(bytes) / 1e6)
                     : fmt::format("{:.2f} GB", double(bytes) / 1e9);
}

}  // namespace

std::string format_duration(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0) return "?";
  const auto s = std::llround(std::min(seconds, 1e12));
  if (s < 60) return fmt::format("{}s", s);
  if (s < 3600) return fmt::format("{}m{:02}s", s / 60, s % 60);
  if (s < 86400) return fmt::format("{}h{:02}m", s / 3600, s / 60 % 60);
  return fmt::format("{}d{:02}h", s / 86400, s / 3600 % 24);
}

std::string format_step(const StepReport& r) {
  std::string line =
      fmt::format("step {:>{}}/{}  loss {:.4f}", r.step, std::to_string(r.steps).size(), r.steps, r.loss);
  line += r.words ? fmt::format("  ppl {:.2f}", std::exp(r.loss))
                  : fmt::format("  bpc {:.4f}", r.loss / std::numbers::ln2);
  line +=
      fmt::format("  {} tok/s  eta {}  lr {:.2e}  grad {:.3g}  peak {:.0f}%", format_count(r.tokens_per_s),
                  format_duration(r.remaining_s), r.lr, r.grad_norm, 100 * r.peak_share);
  if (r.expert_load > 0)
    line += fmt::format("  load {:.2f}  entropy {:.2f}", r.expert_load, r.router_entropy);
  if (r.drop_ratio) line += fmt::format("  drop {:.2f}%", 100 * *r.drop_ratio);
  return line + "  mem " + format_bytes(r.memory_bytes);
}

ProgressLine::ProgressLine(int64_t log_every) : ProgressLine(std::cerr, log_every, terminal_width, 0.1) {}

ProgressLine::ProgressLine(std::ostream& out, int64_t log_every, std::function<int()> width, double refresh_s)
    : out_(out), log_every_(log_every), width_(std::move(width)), refresh_(refresh_s) {}

ProgressLine::~ProgressLine() { end_live_line(); }

void ProgressLine::step(const StepReport& report) {
  const bool last = report.step == report.steps;
  const int width = width_();
  if (width > 0) {
    if (last || !live_ || Clock::now() - drawn_ >= refresh_) draw(format_step(report), width);
  } else if (last || report.step % log_every_ == 0) {
    say(format_step(report));
  }
}

void ProgressLine::count(const std::string& what, int64_t done, int64_t all) {
  const int width = width_();
  if (width == 0 || (live_ && done < all && Clock::now() - drawn_ < refresh_)) return;
  draw(fmt::format("{} {} of {}", what, done, all), width);
}

void ProgressLine::say(const std::string& line) {
  if (live_) out_ << "\r\x1b[K";  // the message takes the live line's place
  live_ = false;
  out_ << line + "\n" << std::flush;
}

void ProgressLine::draw(const std::string& line, int width) {
  // One column stays free: some terminals wrap when the last one is written.
  out_ << fmt::format("\r{}\x1b[K", line.substr(0, size_t(std::max(width - 1, 0)))) << std::flush;
  drawn_ = Clock::now();
  live_ = true;
}

void ProgressLine::end_live_line() {
  if (live_) out_ << "\n" << std::flush;
  live_ = false;
}

}  // namespace rmoe
