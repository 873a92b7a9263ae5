#include "train/schedule.hpp"

#include <doctest/doctest.h>

namespace rmoe::test {

TEST_CASE("schedule: linear warm-up, then constant") {
  OptimizerConfig o;
  o.lr = 8;
  o.warmup = 4;
  CHECK(learning_rate(o, 1, 100) == 2);
  CHECK(learning_rate(o, 3, 100) == 6);
  CHECK(learning_rate(o, 4, 100) == 8);
  CHECK(learning_rate(o, 100, 100) == 8);
  CHECK(learning_rate(o, 3, 2) == 6);  // fewer steps than warm-up
  o.warmup = 0;
  CHECK(learning_rate(o, 1, 100) == 8);
}

TEST_CASE("schedule: a warm-up that is a share of all steps, rounded up") {
  OptimizerConfig o;
  o.lr = 8;
  o.warmup = 1000;
  o.warmup_ratio = 0.03;
  CHECK(learning_rate(o, 3, 101) == 6);  // 3.03 steps are 4
  CHECK(learning_rate(o, 4, 101) == 8);
  o.schedule = "cosine";
  CHECK(learning_rate(o, 101, 101) == 0);
}

TEST_CASE("schedule: half a cosine from lr to min_lr") {
  OptimizerConfig o;
  o.schedule = "cosine";
  o.lr = 9;
  o.min_lr = 1;
  o.warmup = 10;
  CHECK(learning_rate(o, 5, 110) == 4.5);
  CHECK(learning_rate(o, 10, 110) == 9);
  CHECK(learning_rate(o, 60, 110) == doctest::Approx(5));
  CHECK(learning_rate(o, 35, 110) == doctest::Approx(1 + 8 * (1 + 0.70710678118654752) / 2));
  CHECK(learning_rate(o, 110, 110) == 1);
  CHECK(learning_rate(o, 200, 110) == 1);  // a run prolonged past its end
  CHECK(learning_rate(o, 10, 10) == 9);    // nothing after the warm-up
  for (int64_t step = 11; step <= 110; ++step)
    CHECK(learning_rate(o, step, 110) < learning_rate(o, step - 1, 110));
}

}  // namespace rmoe::test
