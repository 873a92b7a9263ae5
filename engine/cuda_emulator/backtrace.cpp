#include "engine/cuda_emulator/backtrace.hpp"

#include <algorithm>
#include <backtrace.h>
#include <cstdlib>
#include <cstring>
#include <cxxabi.h>
#include <link.h>
#include <utility>
#include <vector>

namespace rmoe::emulator {
namespace {

struct Range {
  uintptr_t begin, end;
};

std::vector<Range> loaded_ranges() {
  std::vector<Range> ranges;
  const auto add = [](dl_phdr_info* object, size_t, void* list) {
    for (int i = 0; i < object->dlpi_phnum; i++) {
      const auto& segment = object->dlpi_phdr[i];
      if (segment.p_type != PT_LOAD) continue;
      const uintptr_t begin = object->dlpi_addr + segment.p_vaddr;
      static_cast<std::vector<Range>*>(list)->push_back({begin, begin + segment.p_memsz});
    }
    return 0;
  };
  dl_iterate_phdr(add, &ranges);
  return ranges;
}

std::string demangled(const char* function) {
  if (!function) return "?";
  int status = 0;
  char* text = abi::__cxa_demangle(function, nullptr, nullptr, &status);
  const std::string name = status == 0 ? text : function;
  std::free(text);
  return name;
}

std::string readable(const char* function) {
  const std::string name = demangled(function);
  return name.substr(0, name.find('('));
}

struct Chain {
  std::string text;
  int frames = 0;
};

/// Called for every frame from the inside out; non-zero ends the walk.
int add_frame(void* chain, uintptr_t, const char* file, int line, const char* function) {
  constexpr int kLongest = 4;
  Chain& c = *static_cast<Chain*>(chain);
  const std::string name = readable(function);
  const bool emulator = name.rfind("__tsan_", 0) == 0 || name.find("rmoe::emulator::") != std::string::npos ||
                        (file && std::strstr(file, "engine/cuda_emulator/") && !std::strstr(file, "test"));
  if (emulator) return c.frames > 0;  // outside the kernel again
  if (c.frames++) c.text += " < ";
  c.text += name;
  if (file) c.text += std::string(" ") + file + ":" + std::to_string(line);
  return c.frames == kLongest;
}

void ignore(void*, const char*, int) {}

backtrace_state* debug_information() {
  static backtrace_state* const state = backtrace_create_state(nullptr, 1, ignore, nullptr);
  return state;
}

}  // namespace

std::string callers() {
  Chain chain;
  backtrace_full(debug_information(), 1, add_frame, ignore, &chain);
  return chain.frames ? chain.text : "code without debug information";
}

std::string function_at(uintptr_t address) {
  std::string name;
  const auto keep = [](void* into, uintptr_t, const char* function, uintptr_t, uintptr_t) {
    *static_cast<std::string*>(into) = demangled(function);
  };
  backtrace_syminfo(debug_information(), address, keep, ignore, &name);
  return name;
}

bool in_program(uintptr_t address) {
  static const std::vector<Range> ranges = loaded_ranges();
  return std::any_of(ranges.begin(), ranges.end(),
                     [&](Range r) { return address - r.begin < r.end - r.begin; });
}

}  // namespace rmoe::emulator
