// A function run in a process of its own, for libraries that end the program when something is wrong.
#pragma once

#include <functional>
#include <string>

namespace rmoe {

/// What `work` returns. `on_line` gets every line that it writes to standard error, and an empty one several
/// times a second; if it throws, the process is ended. That `work` fails is an Error with its message, that
/// it crashes one with the last line that it wrote.
std::string run_in_child(const std::function<std::string()>& work,
                         const std::function<void(const std::string& line)>& on_line);

}  // namespace rmoe
