// One batch, learned by heart: every router can be trained.
#include "engine/parallel.hpp"
#include "models/model.hpp"
#include "tests/tiny_models.hpp"
#include "train/optimizer.hpp"

#include <doctest/doctest.h>

namespace rmoe::test {

TEST_CASE("one batch is overfitted to a loss below 0.05 by every model") {
  const int before = thread_count();
  set_thread_count(1);  // sizes too small to share
  for (const TinyCase& c : tiny_cases()) {
    CAPTURE(c.name);
    Model model(c.model, c.router, 2);
    Optimizer optimizer({.name = "adam", .weight_decay = 0}, model.parameters());
    const Batch batch = tiny_batch(c.model);
    double loss = 0;
    for (int step = 1; step <= 300; ++step) {
      const Losses l = losses(model(batch.inputs, model.initial_memory(2), {}), batch.targets, c.router);
      loss = l.loss.value().item();
      backward(l.total);
      optimizer.step(step, 1e-2, full({}, 1, DType::f64));
    }
    CHECK(loss < 0.05);
  }
  set_thread_count(before);
}

}  // namespace rmoe::test
