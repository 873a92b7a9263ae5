// What no well-behaved client sends, and many clients at once.
#include "engine/memory.hpp"
#include "tests/serving.hpp"

#include <csignal>
#include <doctest/doctest.h>

namespace rmoe::test {
namespace {

const std::string kGood = R"({"prompt": "a", "max_tokens": 2, "temperature": 0})";

serve::ServeOptions limited(double read_seconds) {
  serve::ServeOptions options;
  options.http.body_bytes = 2000;
  options.http.head_bytes = 4000;
  options.http.read_seconds = read_seconds;
  return options;
}

/// The status of the answer to these bytes; the connection must then be closed.
std::string answer_to(int port, const std::string& bytes) {
  RawClient client(port);
  client.send(bytes);
  const std::string answer = client.receive();
  if (!client.closed()) return "left open: " + answer;
  return answer.starts_with("HTTP/1.1 ") ? answer.substr(9, 3) : answer;
}

}  // namespace

TEST_CASE("http: what is refused, and how") {
  const TestServer server(limited(20));
  const auto closing = [](const std::string& text) {
    std::string request = text;
    return request.insert(request.find("\r\n") + 2, "Connection: close\r\n");
  };
  const std::string post = "POST /v1/completions HTTP/1.1\r\n";
  const std::vector<std::pair<std::string, std::string>> cases{
      {closing("GET /health HTTP/1.1\r\n\r\n"), "200"},
      {closing("HEAD /health HTTP/1.1\r\n\r\n"), "200"},
      {closing(raw_post("/v1/completions", kGood)), "200"},
      {closing("GET /nowhere HTTP/1.1\r\n\r\n"), "404"},
      {closing("GET /../etc/passwd HTTP/1.1\r\n\r\n"), "404"},
      {raw_post("/nowhere", kGood), "404"},
      {closing("GET /v1/completions HTTP/1.1\r\n\r\n"), "405"},
      {"DELETE /v1/models HTTP/1.1\r\nContent-Length: 5\r\n\r\nabcde", "405"},
      {"FETCH /health HTTP/1.1\r\n\r\n", "400"},
      {"GET /health HTTP/9.9\r\n\r\n", "400"},
      {"complete nonsense\r\n\r\n", "400"},
      {std::string("\0\1\2\3\r\n\r\n", 8), "400"},
      {post + "\r\n", "411"},
      {post + "Content-Length: many\r\n\r\n", "400"},
      {post + "Content-Length: -1\r\n\r\n", "400"},
      {post + "Content-Length: 99999999999999999999\r\n\r\n", "413"},
      {post + "Content-Length: 3000\r\n\r\n" + std::string(3000, 'x'), "413"},
      {post + "Content-Length: 5\r\nContent-Length: 7\r\n\r\nabcdefg", "400"},
      {post + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400"},
      {post + "Transfer-Encoding: gzip\r\n\r\nabc", "501"},
      {post + "Transfer-Encoding: chunked\r\n\r\nzz\r\n", "400"},
      {post + "Transfer-Encoding: chunked\r\n\r\nfff\r\n" + std::string(4095, 'x') + "\r\n0\r\n\r\n", "413"},
      {post + "Content-Length: 2\r\nContent-Encoding: gzip\r\n\r\n{}", "415"},
      {post + "Content-Length: 2\r\nContent-Type: multipart/form-data; boundary=a\r\n\r\n{}", "415"},
      {"GET /health HTTP/1.1\r\nX: " + std::string(5000, 'x') + "\r\n\r\n", "431"},
      {"GET /" + std::string(5000, 'x') + " HTTP/1.1\r\n\r\n", "431"},
      {"GET /health HTTP/1.1\r\nContent-Length: 5\r\n\r\nabcde", "200"},  // not taken for a second request
  };
  for (const auto& [bytes, status] : cases) {
    CAPTURE(bytes.substr(0, 90));
    CHECK(answer_to(server.port, bytes) == status);
  }
  const std::string chunked = post + "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n";
  CHECK(answer_to(server.port, chunked + "32\r\n" + kGood + "\r\n0\r\n\r\n") == "200");
  CHECK(server.comes_to_rest());
}

TEST_CASE("http: a request that does not arrive is answered 408") {
  const TestServer server(limited(0.1));
  const std::string post = "POST /v1/completions HTTP/1.1\r\n";
  CHECK(answer_to(server.port, "GET /hea") == "408");
  CHECK(answer_to(server.port, "GET /health HTTP/1.1\r\nHost: h\r\n") == "408");
  CHECK(answer_to(server.port, post + "Content-Length: 500\r\n\r\n{\"prompt\":") == "408");
  CHECK(answer_to(server.port, post + "Transfer-Encoding: chunked\r\n\r\n5\r\n{\"pr") == "408");
}

TEST_CASE("http: connections are kept, requests may come early, answers are not packed") {
  const TestServer server;
  RawClient client(server.port);
  for (int i = 0; i < 20; ++i) {
    client.send(
        raw_post("/tokenize", R"({"prompt": "a"})", "Accept-Encoding: gzip, br\r\nRange: bytes=0-3\r\n"));
    const std::string answer = client.receive("}");
    CHECK(answer.starts_with("HTTP/1.1 200"));
    CHECK(answer.find("\r\n\r\n{\"tokens\":[97],") != answer.npos);
    CHECK(answer.find("Content-Encoding") == answer.npos);
  }
  client.send(raw_post("/tokenize", R"({"prompt": "b"})") + raw_post("/tokenize", R"({"prompt": "c"})"));
  CHECK(client.receive("[99]").find("[98]") != std::string::npos);
  client.send("POST /tokenize HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 15\r\n\r\n");
  CHECK(client.receive("\r\n\r\n").starts_with("HTTP/1.1 100"));
  client.send(R"({"prompt": "d"})");
  CHECK(client.receive("}").find("[100]") != std::string::npos);
  client.send("POST /tokenize HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 99999999\r\n\r\n");
  CHECK(client.receive("}}").starts_with("HTTP/1.1 413"));
}

TEST_CASE("http: a key, where one is wanted") {
  const TestServer server({.api_key = "secret"});
  const auto status = [&](const std::string& path, const httplib::Headers& headers) {
    return server.get(path, headers)->status;
  };
  CHECK(status("/health", {}) == 200);
  CHECK(status("/v1/models", {{"Authorization", "Bearer secret"}}) == 200);
  for (const char* wrong : {"", "secret", "Bearer ", "Bearer secre", "Bearer secrets", "Basic secret"})
    CHECK(status("/v1/models", {{"Authorization", wrong}}) == 401);
  const auto refused = server.post("/v1/completions", kGood);
  CHECK(refused->status == 401);
  CHECK(refused->get_header_value("WWW-Authenticate") == "Bearer");
  CHECK(Json::parse(refused->body)["error"]["code"] == "invalid_api_key");
}

TEST_CASE("http: a client that drips is cut off, and does not hold up others") {
  const TestServer server(limited(0.5));
  RawClient drip(server.port);
  const std::string slow = raw_post("/tokenize", kGood + std::string(1000, ' '));
  for (size_t i = 0; i < slow.size() && !drip.has_answer(); ++i) {
    drip.send(slow.substr(i, 1));
    usleep(10000);
    if (i == 10) CHECK(server.get("/health")->status == 200);
  }
  CHECK(drip.receive().starts_with("HTTP/1.1 408"));
}

TEST_CASE("http: when a client leaves, its answer stops") {
  const TestServer server({.engine = {.max_tokens = 1000000, .cache_tokens = 10000000}});
  for (const bool stream : {true, false}) {
    RawClient client(server.port);
    client.send(raw_post(
        "/v1/completions",
        Json{{"prompt", "a"}, {"max_tokens", 1000000}, {"temperature", 0}, {"stream", stream}}.dump()));
    if (stream) client.receive("data: ");
    while (server.server.stats().generating == 0) usleep(1000);
  }
  CHECK(server.comes_to_rest());
}

TEST_CASE("http: more clients than places: the silent ones leave") {
  serve::ServeOptions options;
  options.http.connections = 4;
  const TestServer server(options);
  std::vector<std::unique_ptr<RawClient>> silent;
  for (int i = 0; i < 4; ++i) silent.push_back(std::make_unique<RawClient>(server.port));
  CHECK(server.complete(Json::parse(kGood))["choices"].size() == 1);
}

TEST_CASE("http: 64 clients at once, good and bad, and nothing is left of them") {
  const TestServer server(limited(20));
  const auto request = [](int i) {
    return Json{{"prompt", std::string(size_t(1 + i % 7), char('a' + i % 20))},
                {"max_tokens", 3 + i % 5},
                {"seed", i},
                {"logprobs", 1},
                {"echo", i % 2 == 0}};
  };
  std::vector<Json> expected;
  for (int i = 0; i < 64; ++i) expected.push_back(server.complete(request(i))["choices"]);
  REQUIRE(server.comes_to_rest());
  const int64_t before = memory::stats(Device::cpu).in_use;
  std::atomic<int> good = 0, bad = 0;
  const auto client = [&](int i) {  // an exception would end the program, and say why
    for (int round = 0; round < 2; ++round) {
      switch (i % 8) {
        case 1:
          bad += server.post("/v1/completions", "{\"prompt\": ")->status == 400;
          break;
        case 2:
          bad += server.post("/v1/completions", R"({"prompt": "a", "n": "b"})")->status == 400;
          break;
        case 3:
          bad += answer_to(server.port, raw_post("/v1/completions", std::string(3000, ' '))) == "413";
          break;
        case 4: {
          RawClient leaves(server.port);
          leaves.send(raw_post("/v1/completions", R"({"prompt": "a", "max_tokens": 500, "stream": true})"));
          leaves.receive("data: ");
          ++bad;
          break;
        }
        default:
          good += server.complete(request(i))["choices"] == expected[size_t(i)];
      }
    }
  };
  std::vector<std::thread> clients;
  for (int i = 0; i < 64; ++i) clients.emplace_back(client, i);
  for (std::thread& thread : clients) thread.join();
  CHECK(good == 2 * 32);
  CHECK(bad == 2 * 32);
  CHECK(server.comes_to_rest());
  CHECK(memory::stats(Device::cpu).in_use == before);
}

}  // namespace rmoe::test
