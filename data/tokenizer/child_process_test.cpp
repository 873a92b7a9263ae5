#include "data/tokenizer/child_process.hpp"

#include "engine/error.hpp"
#include "tests/op_case.hpp"

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <doctest/doctest.h>
#include <unistd.h>
#include <vector>

namespace rmoe::test {

TEST_CASE("child process: its result, however long, and its lines") {
  std::vector<std::string> lines;
  const std::string long_text(1'000'000, 'x');
  const std::string result = run_in_child(
      [&] {
        std::fputs("one\n\ntwo\nunfinished", stderr);
        return long_text;
      },
      [&](const std::string& line) {
        if (!line.empty()) lines.push_back(line);
      });
  CHECK(result == long_text);
  CHECK(lines == std::vector<std::string>{"one", "two", "unfinished"});
}

TEST_CASE("child process: an error, an exit and a crash are errors here") {
  const auto error = [](const std::function<std::string()>& work) {
    return error_of([&] { run_in_child(work, [](const std::string&) {}); });
  };
  CHECK(error([]() -> std::string { fail("no such thing"); }) == "no such thing");
  CHECK(error([]() -> std::string { _exit(3); }) == "a child process ended without a word");
  CHECK(error([]() -> std::string {
          std::fputs("last words", stderr);
          std::abort();
        }) == "last words");
}

TEST_CASE("child process: what this program does on a signal is not done there") {
  const auto handler = [] { return ::signal(SIGSEGV, SIG_DFL) == SIG_DFL ? "none" : "inherited"; };
  CHECK(run_in_child([&]() -> std::string { return handler(); }, [](const std::string&) {}) == "none");
}

TEST_CASE("child process: ends when the watcher has enough") {
  struct Stop {};
  CHECK_THROWS_AS(
      run_in_child([]() -> std::string { return ::pause(), ""; }, [](const std::string&) { throw Stop(); }),
      Stop);
}

}  // namespace rmoe::test
