// Parallel loops over pieces of fixed size. How work is cut depends on its size alone, never on the number of
// threads, so every result has the same bits at any thread count: a piece writes its own output, or its own
// slot of a buffer that is added up in order afterwards.
#pragma once

#include <algorithm>
#include <cstdint>
#include <omp.h>

namespace rmoe {

int thread_count();
void set_thread_count(int threads);

/// To be called first in main(): threads that wait should soon sleep, because on a machine with a busy
/// neighbour a spinning thread keeps the one it waits for from running. libgomp reads its settings before
/// main(), so this starts the program once more with a short spin, unless the user has set OMP_WAIT_POLICY or
/// GOMP_SPINCOUNT.
void spin_briefly(char** argv);

/// f(i) for every task i in [0, n); tasks go to whichever thread is free. A nested call runs in its own
/// thread.
template <class F>
void parallel_for(int64_t n, F&& f) {
  if (n <= 1 || thread_count() == 1 || omp_in_parallel()) {
    for (int64_t i = 0; i < n; ++i) f(i);
    return;
  }
#pragma omp parallel for schedule(dynamic, 1) num_threads(thread_count())
  for (int64_t i = 0; i < n; ++i) f(i);
}

/// f(begin, end) for consecutive chunks of `chunk` elements of [0, n).
template <class F>
void parallel_chunks(int64_t n, int64_t chunk, F&& f) {
  parallel_for((n + chunk - 1) / chunk, [&](int64_t i) { f(i * chunk, std::min(n, (i + 1) * chunk)); });
}

}  // namespace rmoe
