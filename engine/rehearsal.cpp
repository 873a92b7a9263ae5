#include "engine/rehearsal.hpp"

#include "engine/arena.hpp"
#include "engine/error.hpp"

#include <memory>

namespace rmoe {
namespace {

// Addresses that no processor maps, as aligned as the driver's.
constexpr uintptr_t kBase = uintptr_t{1} << 60, kSpan = uintptr_t{1} << 50;

thread_local std::unique_ptr<Arena> on_paper;

}  // namespace

bool rehearsing() { return on_paper != nullptr; }

Rehearsal::Rehearsal() {
  RMOE_CHECK(!rehearsing(), "rehearsal: one within another");
  on_paper = std::make_unique<Arena>(int64_t(kSpan));
}
Rehearsal::~Rehearsal() { on_paper.reset(); }

int64_t Rehearsal::top() const { return on_paper->top(); }
int64_t Rehearsal::high_water() const { return on_paper->high_water(); }

namespace rehearsal {

void* allocate(int64_t bytes) {
  const int64_t offset = on_paper->allocate(bytes);
  RMOE_CHECK(offset >= 0, "rehearsal: ", bytes, " bytes are more than any device has");
  return reinterpret_cast<void*>(kBase + uintptr_t(offset));
}

bool owns(const void* block) { return reinterpret_cast<uintptr_t>(block) - kBase < kSpan; }

void release(void* block, int64_t bytes) {
  RMOE_CHECK(rehearsing(), "rehearsal: ", bytes, " bytes outlive it");
  on_paper->release(int64_t(reinterpret_cast<uintptr_t>(block) - kBase), bytes);
}

}  // namespace rehearsal
}  // namespace rmoe
