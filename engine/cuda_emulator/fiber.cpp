#include "engine/cuda_emulator/fiber.hpp"

#include <pthread.h>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace rmoe::emulator {

// Saves what the System V ABI asks a function to preserve, and changes stacks. Ten times as fast as
// swapcontext, which also saves the signal mask by a system call.
extern "C" void rmoe_emulator_switch(void** save, void* load);
asm(R"(
.text
.globl rmoe_emulator_switch
.type rmoe_emulator_switch,@function
rmoe_emulator_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size rmoe_emulator_switch,.-rmoe_emulator_switch
)");

namespace {

#if defined(__SANITIZE_ADDRESS__)
constexpr size_t kStackBytes = 256 << 10;  // its frames are larger
#else
constexpr size_t kStackBytes = 64 << 10;
#endif
constexpr size_t kGuardBytes = 4096;

}  // namespace

Fiber new_fiber() {
  void* map = mmap(nullptr, kStackBytes + kGuardBytes, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  mprotect(map, kGuardBytes, PROT_NONE);
  Fiber fiber;
  fiber.stack = static_cast<char*>(map) + kGuardBytes;
  fiber.stack_bytes = kStackBytes;
  return fiber;
}

void restart(Fiber& fiber, void (*entry)()) {
#if defined(__SANITIZE_ADDRESS__)
  ASAN_UNPOISON_MEMORY_REGION(fiber.stack, fiber.stack_bytes);
#endif
  const uintptr_t top = (reinterpret_cast<uintptr_t>(fiber.stack) + fiber.stack_bytes) & ~uintptr_t{63};
  void** slot = reinterpret_cast<void**>(top);
  *--slot = nullptr;  // keeps the stack aligned at entry, and ends a debugger's walk
  *--slot = reinterpret_cast<void*>(entry);
  for (int i = 0; i < 6; i++) *--slot = nullptr;  // the saved registers
  fiber.stack_pointer = slot;
  fiber.sanitizer_state = nullptr;
}

Fiber host_stack() {
  pthread_attr_t attributes;
  pthread_getattr_np(pthread_self(), &attributes);
  void* lowest = nullptr;
  Fiber fiber;
  pthread_attr_getstack(&attributes, &lowest, &fiber.stack_bytes);
  pthread_attr_destroy(&attributes);
  fiber.stack = static_cast<char*>(lowest);
  return fiber;
}

void switch_fiber(Fiber& from, Fiber& to) {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&from.sanitizer_state, to.stack, to.stack_bytes);
#endif
  rmoe_emulator_switch(&from.stack_pointer, to.stack_pointer);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(from.sanitizer_state, nullptr, nullptr);
#endif
}

void fiber_entered() {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(nullptr, nullptr, nullptr);
#endif
}

}  // namespace rmoe::emulator
