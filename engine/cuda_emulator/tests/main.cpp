#define DOCTEST_CONFIG_IMPLEMENT
#include "engine/cuda_emulator/emulator.hpp"

#include <doctest/doctest.h>

int main(int argc, char** argv) {
  doctest::Context context(argc, argv);
  if (!rmoe::emulator::has_checker()) context.addFilter("test-case-exclude", "checker:*");
  return context.run();
}
