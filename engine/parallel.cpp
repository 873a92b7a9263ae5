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

void spin_briefly(char** argv) {
  if (std::getenv("OMP_WAIT_POLICY") || std::getenv("GOMP_SPINCOUNT")) return;
  // Long enough to bridge two loops of a step, far shorter than a scheduler's time slice. Two threads on two
  // cores: asleep at once 1040 ms a step, this 530, spinning on 530 - but 2900 with another process at work.
  setenv("GOMP_SPINCOUNT", "20000", 1);
  char path[4096];
  const ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
  if (length <= 0) return;
  path[length] = 0;
  execv(path, argv);  // returns only if it fails: then threads spin, which is right but may be slower
}

}  // namespace rmoe
