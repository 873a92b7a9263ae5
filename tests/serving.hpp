// A server with a tiny random model on a free port, and clients of both kinds: well-behaved and not.
#pragma once

#include "tests/tiny_models.hpp"
#include "train/serve/server.hpp"
#include "train/serve/test_tokenizer.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace rmoe::test {

using Json = nlohmann::json;

/// A model whose answers to different prompts differ.
inline const Model& tiny_model() {
  static const Model* const model = [] {
    TinyCase tiny = tiny_case("llama-rmoe");
    tiny.model.vocab = TestTokenizer::kSize;
    auto* made = new Model(tiny.model, tiny.router, 5);  // lives as long as the tests
    spread_parameters(*made);
    return made;
  }();
  return *model;
}

struct TestServer {
  explicit TestServer(const serve::ServeOptions& options = {}, const Model& model = tiny_model())
      : server(model, std::make_shared<TestTokenizer>(), options), port(server.start("127.0.0.1", 0)) {}
  ~TestServer() { server.stop(0); }

  httplib::Result post(const std::string& path, const std::string& body,
                       const httplib::Headers& headers = {}) const {
    httplib::Client client("127.0.0.1", port);
    client.set_tcp_nodelay(true);
    client.set_read_timeout(20);
    return client.Post(path, headers, body, "application/json");
  }
  httplib::Result get(const std::string& path, const httplib::Headers& headers = {}) const {
    return httplib::Client("127.0.0.1", port).Get(path, headers);
  }
  /// The answer to a good request.
  Json complete(const Json& request) const {
    const auto result = post("/v1/completions", request.dump());
    RMOE_CHECK(result && result->status == 200, "test: ", result ? result->body : "no answer");
    return Json::parse(result->body);
  }
  /// The events of a streamed answer; the last one must be [DONE], which is left out.
  std::vector<Json> stream(Json request) const {
    request["stream"] = true;
    const auto result = post("/v1/completions", request.dump());
    RMOE_CHECK(result && result->status == 200, "test: ", result ? result->body : "no answer");
    std::vector<Json> events;
    std::istringstream lines(result->body);
    std::string line;
    bool done = false;
    while (std::getline(lines, line)) {
      if (line.empty()) continue;
      RMOE_CHECK(!done && line.starts_with("data: "), "test: not an event: ", line);
      done = line == "data: [DONE]";
      if (!done) events.push_back(Json::parse(line.substr(6)));
    }
    RMOE_CHECK(done, "test: the stream has no end");
    return events;
  }
  /// Waits until nothing is at work any more; false if that takes longer than a few seconds.
  bool comes_to_rest() const {
    for (int i = 0; i < 500; ++i) {
      const serve::Engine::Stats stats = server.stats();
      if (stats.jobs == 0 && stats.generating == 0 && stats.cache_tokens == 0) return true;
      usleep(10000);
    }
    return false;
  }

  serve::Server server;
  int port;
};

/// A socket for what no library would send.
class RawClient {
 public:
  explicit RawClient(int port) : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{.sin_family = AF_INET,
                        .sin_port = htons(uint16_t(port)),
                        .sin_addr = {htonl(INADDR_LOOPBACK)},
                        .sin_zero = {}};
    RMOE_CHECK(::connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0,
               "test: cannot connect");
  }
  ~RawClient() { ::close(socket_); }
  RawClient(const RawClient&) = delete;

  bool send(const std::string& text) {
    return ::send(socket_, text.data(), text.size(), MSG_NOSIGNAL) == ssize_t(text.size());
  }
  bool has_answer() const {
    pollfd state{.fd = socket_, .events = POLLIN, .revents = 0};
    return ::poll(&state, 1, 0) > 0;
  }
  /// What comes until the server hangs up, or `stop` has come, or nothing has for 3 s.
  std::string receive(const std::string& stop = "") {
    std::string text;
    char buffer[4096];
    pollfd state{.fd = socket_, .events = POLLIN, .revents = 0};
    while ((stop.empty() || text.find(stop) == text.npos) && ::poll(&state, 1, 3000) > 0) {
      const ssize_t n = ::recv(socket_, buffer, sizeof buffer, 0);
      closed_ = n <= 0;
      if (closed_) break;
      text.append(buffer, size_t(n));
    }
    return text;
  }
  /// The last receive() ended because the server hung up.
  bool closed() const { return closed_; }

 private:
  int socket_;
  bool closed_ = false;
};

inline std::string raw_post(const std::string& path, const std::string& body,
                            const std::string& headers = "") {
  return concat("POST ", path, " HTTP/1.1\r\nHost: test\r\nContent-Length: ", body.size(), "\r\n", headers,
                "\r\n", body);
}

}  // namespace rmoe::test
