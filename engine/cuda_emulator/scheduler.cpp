// Threads of a block are fibers of one host thread; they change places where a thread must wait, and only
// there. A thread that never waits costs no switch: the same fiber goes on with the next thread.
#include "engine/cuda_emulator/checker.hpp"
#include "engine/cuda_emulator/runner.hpp"

#include <bit>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <map>

namespace rmoe::emulator {

thread_local Thread* current __attribute__((tls_model("initial-exec"))) = nullptr;

namespace {

constexpr char kBarrier[] = "__syncthreads";
constexpr char kVote[] = "__syncthreads_count/and/or";

bool same_place(const Location& a, const Location& b) {
  return a.line() == b.line() && a.column() == b.column() &&
         (a.file_name() == b.file_name() || std::strcmp(a.file_name(), b.file_name()) == 0);
}

void enter_fiber();

int take_fiber(Runner& r) {
  if (r.idle_fibers.empty()) {
    r.fibers.push_back(new_fiber());
    restart(r.fibers.back(), enter_fiber);
    return static_cast<int>(r.fibers.size()) - 1;
  }
  const int fiber = r.idle_fibers.back();
  r.idle_fibers.pop_back();
  return fiber;
}

/// To a fiber, or with -1 to the host's stack.
void switch_to(Runner& r, int fiber) {
  Fiber& from = r.fiber < 0 ? r.host : r.fibers[r.fiber];
  Fiber& to = fiber < 0 ? r.host : r.fibers[fiber];
  r.fiber = fiber;
  switch_fiber(from, to);
}

void make_ready(Runner& r, Thread& thread) {
  thread.state = ThreadState::ready;
  r.ring[(r.ring_head + r.ring_count++) % kMaxThreads] = thread.number;
}

Thread* take_ready(Runner& r, unsigned position) {
  const unsigned first = r.ring_head, chosen = (first + position) % kMaxThreads;
  const int number = r.ring[chosen];
  r.ring[chosen] = r.ring[first];
  r.ring_head = (first + 1) % kMaxThreads;
  r.ring_count--;
  return &r.threads[number];
}

/// The next thread to run, or null: woken ones first, or at random.
Thread* pick(Runner& r) {
  const unsigned fresh = static_cast<unsigned>(r.block.threads - r.begun);
  if (r.seed == 0) {
    if (r.ring_count) return take_ready(r, 0);
    return fresh ? &r.threads[r.order[r.begun++]] : nullptr;
  }
  if (r.ring_count + fresh == 0) return nullptr;
  const unsigned chosen = static_cast<unsigned>(r.random() % (r.ring_count + fresh));
  return chosen < r.ring_count ? take_ready(r, chosen) : &r.threads[r.order[r.begun++]];
}

void hand_over(Runner& r, Thread* next) {
  current = next;
  const bool fresh = next->state == ThreadState::fresh;
  next->state = ThreadState::running;
  if (fresh) {
    next->fiber = take_fiber(r);
    r.starting = next;
  }
  switch_to(r, next->fiber);
}

std::string describe_waiting(Runner& r) {
  struct Group {
    int threads = 0, first = 0;
  };
  std::map<std::string, Group> groups;
  for (int i = 0; i < r.block.threads; i++) {
    const Thread& thread = r.threads[i];
    if (thread.state != ThreadState::blocked) continue;
    Group& group = groups[std::string(thread.waits_in) + " at " + thread.place.file_name() + ":" +
                          std::to_string(thread.place.line())];
    if (group.threads++ == 0) group.first = i;
  }
  std::string text = std::to_string(r.block.threads - r.block.live) + " threads exited";
  for (const auto& [where, group] : groups)
    text += "; " + std::to_string(group.threads) + " threads (first: " + std::to_string(group.first) +
            ") wait in " + where;
  return text;
}

/// The message lives in the runner: what a failing fiber holds itself is never destroyed.
[[noreturn]] void deadlock(Runner& r) {
  r.message = describe_waiting(r);
  kernel_fails(cudaErrorLaunchFailure, "deadlock: %s", r.message.c_str());
}

void wait_in(Runner& r, const char* operation, Location place) {
  Thread* self = current;
  self->state = ThreadState::blocked;
  self->waits_in = operation;
  self->place = place;
  Thread* next = pick(r);
  if (!next) deadlock(r);
  hand_over(r, next);
  current = self;
}

void release_barrier(Runner& r) {
  Block& b = r.block;
  b.generation++;
  b.arrived = 0;
  checker::barrier(b);
  int* result = b.result[b.generation & 1];
  result[static_cast<int>(Vote::count)] = b.votes;
  result[static_cast<int>(Vote::all)] = b.all;
  result[static_cast<int>(Vote::any)] = b.any;
  b.votes = b.any = 0;
  b.all = 1;
  for (int i = 0; i < b.threads; i++) {
    Thread& thread = r.threads[i];
    if (thread.state == ThreadState::blocked && thread.waits_in == b.barrier) make_ready(r, thread);
  }
}

void arrive(const char* barrier, Location place) {
  Runner& r = runner();
  Block& b = r.block;
  if (b.arrived == 0) {
    b.barrier = barrier;
    b.barrier_place = place;
  } else if (b.barrier != barrier || !same_place(b.barrier_place, place)) {
    kernel_fails(cudaErrorLaunchFailure,
                 "divergent barrier: this thread is at %s %s:%u, others wait at %s %s:%u", barrier,
                 place.file_name(), place.line(), b.barrier, b.barrier_place.file_name(),
                 b.barrier_place.line());
  }
  if (++b.arrived < b.live) return wait_in(r, barrier, place);
  release_barrier(r);
  if (r.seed == 0 || r.random() % 2) return;
  Thread* self = current;  // the last to arrive need not be the first to go on
  make_ready(r, *self);
  Thread* next = pick(r);
  if (next != self) hand_over(r, next);
  self->state = ThreadState::running;
  current = self;
}

MeetingPlace& find_place(Warp& warp, uint32_t mask, const char* operation) {
  for (MeetingPlace& place : warp.places)
    if (place.mask == mask) return place;
  for (MeetingPlace& place : warp.places)
    if (!place.arrived && !place.readers) {
      place.mask = mask;
      return place;
    }
  kernel_fails(cudaErrorLaunchFailure, "%s: more than %d masks of one warp in use", operation, kMaxMeetings);
}

void check_mask(const Thread& thread, uint32_t mask, const char* operation, const Location& place) {
  const Warp& warp = *thread.warp;
  const char* wrong = !(mask >> thread.lane & 1) ? "does not name the calling lane"
                      : mask & ~warp.members     ? "names lanes that this warp does not have"
                      : mask & warp.exited       ? "names lanes that have exited"
                                                 : nullptr;
  if (wrong)
    kernel_fails(cudaErrorLaunchFailure, "%s at %s:%u: mask %08x %s (members %08x, exited %08x)", operation,
                 place.file_name(), place.line(), mask, wrong, warp.members, warp.exited);
}

void exit_thread(Runner& r, Thread& thread) {
  Block& b = r.block;
  thread.state = ThreadState::done;
  thread.warp->exited |= 1u << thread.lane;
  b.live--;
  for (const MeetingPlace& place : thread.warp->places)
    if (place.arrived && place.mask >> thread.lane & 1)
      kernel_fails(cudaErrorLaunchFailure, "lane %d exited while lanes %08x wait for it in %s at %s:%u",
                   thread.lane, place.arrived, place.operation, place.place.file_name(), place.place.line());
  if (b.arrived && b.arrived == b.live) release_barrier(r);
}

/// What every fiber executes: threads, one after the other.
void enter_fiber() {
  fiber_entered();
  for (;;) {
    Runner& r = runner();
    Thread* thread = r.starting;
    thread->fiber = r.fiber;
    r.launch->call(r.launch->kernel, r.launch->arguments);
    exit_thread(r, *thread);
    Thread* next = pick(r);
    if (next && next->state == ThreadState::fresh) {
      next->state = ThreadState::running;
      current = r.starting = next;
      continue;
    }
    if (!next && r.block.live) deadlock(r);
    r.idle_fibers.push_back(r.fiber);
    if (next)
      hand_over(r, next);
    else
      switch_to(r, -1);
  }
}

}  // namespace

void run_threads() {
  Runner& r = runner();
  hand_over(r, pick(r));
  current = nullptr;
}

void abandon_fibers() {
  Runner& r = runner();
  r.idle_fibers.clear();
  for (size_t i = 0; i < r.fibers.size(); i++) {
    restart(r.fibers[i], enter_fiber);
    r.idle_fibers.push_back(static_cast<int>(i));
  }
}

void kernel_fails(cudaError_t code, const char* format, ...) {
  char text[1024];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  if (!current) {
    std::fprintf(stderr, "cuda emulator, outside a kernel: %s\n", text);
    std::abort();
  }
  Runner& r = runner();
  const uint3 b = r.block.index, t = current->index;
  char where[256];
  snprintf(where, sizeof where, "; block (%u,%u,%u) thread (%u,%u,%u) of %s launched at %s:%u", b.x, b.y, b.z,
           t.x, t.y, t.z, r.launch->name, r.launch->place.file_name(), r.launch->place.line());
  r.error = code;
  r.message = std::string(text) + where;
  switch_to(r, -1);
  std::abort();
}

void block_barrier(Location place) { arrive(kBarrier, place); }

int block_vote(Vote vote, int predicate, Location place) {
  Block& b = *current->block;
  b.votes += predicate != 0;
  b.all &= predicate != 0;
  b.any |= predicate != 0;
  arrive(kVote, place);
  return b.result[b.generation & 1][static_cast<int>(vote)];
}

MeetingPlace& enter_meeting(uint32_t mask, const char* operation, Location place, const void* payload,
                            size_t bytes, void (*combine)(Meeting&, uint32_t), unsigned* buffer) {
  Thread* self = current;
  check_mask(*self, mask, operation, place);
  MeetingPlace& p =
      self->warp->places[0].mask == mask ? self->warp->places[0] : find_place(*self->warp, mask, operation);
  if (!p.arrived) {
    p.operation = operation;
    p.place = place;
  } else if (p.operation != operation || !same_place(p.place, place)) {
    kernel_fails(cudaErrorLaunchFailure,
                 "divergent warp: lane %d is in %s at %s:%u, lanes %08x wait in %s at %s:%u", self->lane,
                 operation, place.file_name(), place.line(), p.arrived, p.operation, p.place.file_name(),
                 p.place.line());
  }
  *buffer = p.generation & 1;
  Meeting& meeting = p.meetings[*buffer];
  std::memcpy(meeting.in[self->lane].words, payload, bytes);
  p.arrived |= 1u << self->lane;
  Runner& r = runner();
  if (p.arrived != mask) {
    wait_in(r, operation, place);
    return p;
  }
  p.readers += static_cast<uint32_t>(std::popcount(mask));
  p.arrived = 0;
  p.generation++;
  if (combine) combine(meeting, mask);
  Thread* first = self - self->lane;
  for (uint32_t others = mask & ~(1u << self->lane); others; others &= others - 1)
    make_ready(r, first[std::countr_zero(others)]);
  return p;
}

void warp_barrier(uint32_t mask, Location place) {
  const auto combine = [](Meeting&, uint32_t lanes) { checker::warp_barrier(*current, lanes); };
  const Visit visit(mask, "__syncwarp", place, mask, combine);
}

}  // namespace rmoe::emulator
