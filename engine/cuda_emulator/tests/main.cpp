#define DOCTEST_CONFIG_IMPLEMENT
#include "engine/cuda_emulator/emulator.hpp"

#include <doctest/doctest.h>

int main(int argc, char** argv) {
  doctest::Context context(argc, argv);
  if (!rmoe::emulator::has_checker()) context.addFilter("test-case-exclude", "checker:*");
#if defined(__SANITIZE_ADDRESS__)
  context.addFilter("test-case-exclude", "*guard band*");  // it ends the program at such writes
#endif
  return context.run();
}
