#include "engine/profile.hpp"

#include "engine/flops.hpp"

#include <algorithm>
#include <chrono>
#include <map>

namespace rmoe::profile {
namespace {

using Clock = std::chrono::steady_clock;

struct State {
  std::map<std::pair<std::string, Pass>, Line> lines;
  Clock::time_point last;
  double flops = 0;
};

thread_local State state;

}  // namespace

void detail::add(const char* op, Pass pass, double bytes) {
  Line& line = state.lines.try_emplace({op, pass}, Line{op, pass}).first->second;
  const Clock::time_point now = Clock::now();
  ++line.calls;
  line.seconds += std::chrono::duration<double>(now - state.last).count();
  line.flops += flops_counted() - state.flops;
  line.bytes += bytes;
  state.flops = flops_counted();
  state.last = now;
}

void start() {
  state = {.lines = {}, .last = Clock::now(), .flops = flops_counted()};
  detail::running = true;
}

std::vector<Line> stop() {
  detail::running = false;
  std::vector<Line> lines;
  for (const auto& [key, line] : state.lines) lines.push_back(line);
  std::ranges::sort(lines, std::greater(), &Line::seconds);
  return lines;
}

}  // namespace rmoe::profile
