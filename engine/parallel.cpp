#include "engine/parallel.hpp"

#include "engine/error.hpp"

#include <cstdlib>
#include <unistd.h>

namespace rmoe {
namespace {
int threads = omp_get_num_procs();
}

int thread_count() { return threads; }

void set_thread_count(int n) {
  RMOE_CHECK(n >= 1, "threads: wanted at least 1, got ", n);
  threads = n;
}

void wait_passively(char** argv) {
  if (std::getenv("OMP_WAIT_POLICY")) return;
  setenv("OMP_WAIT_POLICY", "passive", 1);
  execv("/proc/self/exe", argv);  // returns only if it fails: then threads spin, which is slower but right
}

}  // namespace rmoe
