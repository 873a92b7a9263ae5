// Stacks that one host thread switches between: each CUDA thread runs on one.
#pragma once

#include <cstddef>
#include <cstdint>

namespace rmoe::emulator {

struct Fiber {
  char* stack = nullptr;  // lowest address
  size_t stack_bytes = 0;
  void* stack_pointer = nullptr;
  void* sanitizer_state = nullptr;

  bool holds(uintptr_t address) const { return address - reinterpret_cast<uintptr_t>(stack) < stack_bytes; }
};

/// A new stack with a guard page below it.
Fiber new_fiber();

/// The next switch to `fiber` calls `entry`, which must never return.
void restart(Fiber& fiber, void (*entry)());

/// The stack the calling thread runs on.
Fiber host_stack();

/// Leaves `from`, continues where `to` was left; returns when someone switches back.
void switch_fiber(Fiber& from, Fiber& to);

/// The first thing to be called on a restarted fiber.
void fiber_entered();

}  // namespace rmoe::emulator
