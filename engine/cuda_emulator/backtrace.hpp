// Where in the source the program is.
#pragma once

#include <cstdint>
#include <string>

namespace rmoe::emulator {

/// "function file:line" of the kernel code that called into the emulator, inlined callers included, innermost
/// first.
std::string callers();

/// The function that begins at this address, with its types.
std::string function_at(uintptr_t address);

/// Is this address in the code, constants or variables of the program or one of its libraries?
bool in_program(uintptr_t address);

}  // namespace rmoe::emulator
