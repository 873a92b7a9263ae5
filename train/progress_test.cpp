#include "train/progress.hpp"

#include <cmath>
#include <doctest/doctest.h>
#include <sstream>

namespace rmoe::test {
namespace {

StepReport report_of(int64_t step) {
  StepReport r;
  r.step = step;
  r.steps = 1000;
  r.loss = 0.75;
  r.lr = 7e-4;
  r.grad_norm = 0.5312;
  r.tokens_per_s = 12345;
  r.peak_share = 0.713;
  r.memory_bytes = 1'230'000'000;
  r.expert_load = 1.4321;
  r.router_entropy = 1.919;
  r.remaining_s = 11530;
  return r;
}

}  // namespace

TEST_CASE("progress: the step line") {
  CHECK(format_step(report_of(70)) ==
        "step   70/1000  loss 0.7500  bpc 1.0820  12.3k tok/s  eta 3h12m  lr 7.00e-04  grad 0.531  peak 71%  "
        "load 1.43  entropy 1.92  mem 1.23 GB");
  StepReport limited = report_of(70);
  limited.drop_ratio = 0.0123;
  CHECK(format_step(limited).ends_with("entropy 1.92  drop 1.23%  mem 1.23 GB"));
  StepReport words = report_of(1000);
  words.words = true;
  words.loss = std::log(31.5);
  words.expert_load = 0;
  words.memory_bytes = 45'600'000;
  words.tokens_per_s = 940;
  words.remaining_s = NAN;
  CHECK(format_step(words) ==
        "step 1000/1000  loss 3.4500  ppl 31.50  940 tok/s  eta ?  lr 7.00e-04  grad 0.531  peak 71%  mem 46 "
        "MB");
}

TEST_CASE("progress: durations") {
  CHECK(format_duration(0) == "0s");
  CHECK(format_duration(59.6) == "1m00s");
  CHECK(format_duration(725) == "12m05s");
  CHECK(format_duration(3 * 3600 + 7 * 60) == "3h07m");
  CHECK(format_duration(52 * 3600) == "2d04h");
  CHECK(format_duration(-1) == "?");
  CHECK(format_duration(INFINITY) == "?");
}

TEST_CASE("progress: plain lines every log_every steps and at the end") {
  std::ostringstream out;
  {
    ProgressLine progress(
        out, 400, [] { return 0; }, 0);
    for (int64_t step = 1; step <= 1000; ++step) progress.step(report_of(step));
    progress.say("done");
  }
  CHECK(out.str() == format_step(report_of(400)) + "\n" + format_step(report_of(800)) + "\n" +
                         format_step(report_of(1000)) + "\ndone\n");
}

TEST_CASE("progress: a terminal has one live line, cut to its width") {
  std::ostringstream out;
  {
    ProgressLine progress(
        out, 400, [] { return 15; }, 0);
    progress.step(report_of(1));
    progress.say("a message longer than the terminal");
    progress.step(report_of(2));
  }
  CHECK(out.str() ==
        "\rstep    1/1000\x1b[K\r\x1b[Ka message longer than the terminal\n\rstep    2/1000\x1b[K\n");
}

TEST_CASE("progress: a terminal is redrawn only so often, but shows the last step") {
  std::ostringstream out;
  ProgressLine progress(
      out, 1, [] { return 15; }, 1e9);
  progress.step(report_of(1));
  progress.step(report_of(2));
  progress.step(report_of(1000));
  CHECK(out.str() == "\rstep    1/1000\x1b[K\rstep 1000/1000\x1b[K");
}

}  // namespace rmoe::test
