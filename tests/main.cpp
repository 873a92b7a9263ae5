#define DOCTEST_CONFIG_IMPLEMENT
#include "engine/memory.hpp"
#include "engine/parallel.hpp"

#include <doctest/doctest.h>

int main(int argc, char** argv) {
  rmoe::spin_briefly(argv);
  rmoe::memory::set_debug(true);  // every buffer starts as NaN and has a guard band behind it
  doctest::Context context(argc, argv);
  return context.run();
}
