#include "engine/parallel.hpp"

#include "engine/error.hpp"

namespace rmoe {
namespace {
int threads = omp_get_num_procs();
}

int thread_count() { return threads; }

void set_thread_count(int n) {
  RMOE_CHECK(n >= 1, "threads: wanted at least 1, got ", n);
  threads = n;
}

}  // namespace rmoe
