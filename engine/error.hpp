// Errors: one line that says what, where, wanted, got, and the likely cure.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

namespace rmoe {

/// Something failed at run time (a file, a shape, a number): exit code 1.
struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// The user asked for something that cannot be (an unknown option, an impossible config): exit code 2.
struct UsageError : Error {
  using Error::Error;
};

template <class... Args>
std::string concat(const Args&... args) {
  std::ostringstream text;
  (text << ... << args);
  return text.str();
}

template <class... Args>
[[noreturn]] void fail(const Args&... args) {
  throw Error(concat(args...));
}

}  // namespace rmoe

#define RMOE_CHECK(condition, ...) \
  do {                             \
    if (!(condition)) [[unlikely]] \
      ::rmoe::fail(__VA_ARGS__);   \
  } while (false)
