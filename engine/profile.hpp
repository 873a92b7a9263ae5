// Where the time of a step goes, op by op. Off unless start() was called, and then free but for one test a
// call. Time belongs to the op that ends it: the tape says when an op has been recorded or replayed, so what
// a model does in between counts for the op that comes next.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace rmoe::profile {

enum class Pass { forward, backward, update };

struct Line {
  std::string op;
  Pass pass;
  int64_t calls = 0;
  double seconds = 0;
  double flops = 0;
  double bytes = 0;  // of every operand and result, each once: the least that has to move
};

namespace detail {
inline thread_local bool running = false;
void add(const char* op, Pass pass, double bytes);
}  // namespace detail

/// Profiles this thread from now on.
void start();
/// What start() began, the slowest first.
std::vector<Line> stop();

inline bool running() { return detail::running; }

/// The time since the last mark was `op`'s.
inline void mark(const char* op, Pass pass, double bytes) {
  if (detail::running) detail::add(op, pass, bytes);
}

}  // namespace rmoe::profile
