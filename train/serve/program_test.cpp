// The program, as a user starts and ends it.
#include "tests/serving.hpp"
#include "tests/toy_run.hpp"

#include <csignal>
#include <doctest/doctest.h>

namespace rmoe::test {
namespace {

/// The port in its first line, once it listens.
int port_of(const Process& process) {
  for (int i = 0; i < 2000; ++i) {
    const std::string line = process.printed();
    const std::string before = "listening on http://127.0.0.1:";
    if (line.starts_with(before) && line.find('\n') != line.npos)
      return std::stoi(line.substr(before.size()));
    usleep(10000);
  }
  FAIL("the server does not listen: ", process.printed());
  return 0;
}

}  // namespace

TEST_CASE("serve: the program serves a checkpoint and ends on Ctrl-C, whoever waits") {
  const TestFolder folder;
  make_toy(folder);
  REQUIRE(rmoe(folder.path(), train_toy("run", {"--steps", "10", "--threads", "1"})).code == 0);
  const std::vector<std::string> args{"serve",          "run",     "--port",       "0",
                                      "--grace",        "0.1",     "--max-tokens", "1000000",
                                      "--cache-tokens", "2000000", "--threads",    "1"};
  Process process(folder.path(), args);
  const int port = port_of(process);
  httplib::Client client("127.0.0.1", port);
  const auto models = client.Get("/v1/models");
  REQUIRE(models);
  CHECK(Json::parse(models->body)["data"][0]["id"] == "run");
  const std::string text = R"({"prompt": "a router", "max_tokens": 30, "temperature": 0})";
  const auto answer = client.Post("/v1/completions", text, "application/json");
  REQUIRE(answer);
  const ProcessResult sampled = rmoe(folder.path(), {"sample", "run", "--prompt", "a router", "--tokens",
                                                     "30", "--temperature", "0", "--threads", "1"});
  CHECK("a router" + Json::parse(answer->body)["choices"][0]["text"].get<std::string>() + "\n" ==
        sampled.out);

  const ProcessResult second = rmoe(folder.path(), {"serve", "run", "--port", std::to_string(port)});
  CHECK(second.code == 1);
  CHECK(second.err.find("cannot listen on 127.0.0.1:") != std::string::npos);

  RawClient waits(port);
  const Json endless{{"prompt", "a"}, {"max_tokens", 1000000}, {"stream", true}};
  waits.send(raw_post("/v1/completions", endless.dump()));
  waits.receive("data: ");
  const RawClient silent(port);
  process.signal(SIGINT);
  CHECK(process.wait().code == 130);
  CHECK(waits.receive().find("shutting down") != std::string::npos);
}

}  // namespace rmoe::test
