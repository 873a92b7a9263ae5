// httplib's parser, router and writer over our own sockets and threads: one thread per connection, a bound on
// everything a client can make grow, a way to end. What had to be worked around is in the README.
#pragma once

#include "train/serve/connection.hpp"
#include "train/serve/request_error.hpp"

#include <condition_variable>
#include <list>
#include <map>
#include <mutex>
#include <thread>

namespace rmoe::serve {

class HttpServer final : httplib::Server {
 public:
  /// Answers a request whose body is `body`, or throws a RequestError.
  using Answer = std::function<void(const httplib::Request&, const std::string& body, httplib::Response&)>;

  /// Clients must show `api_key`, if it is not empty, at every path but /health.
  HttpServer(const HttpLimits& limits, const std::string& api_key);
  ~HttpServer() override;

  void get(const std::string& path, Answer answer);
  void post(const std::string& path, Answer answer);

  /// Begins to serve and returns the port (the one chosen, for port 0).
  int start(const std::string& host, int port);
  /// No new connections, no new requests on old ones. True if all have ended within `seconds`.
  bool wind_down(double seconds);
  /// Ends what still runs.
  void stop();
  int64_t connections() const;

 private:
  struct Worker {
    Connection* connection = nullptr;  // while it may be nudged or aborted
    bool ended = false;
    std::thread thread = {};
  };

  void accept_loop();
  void serve(int socket, Worker& worker);
  void converse(int socket, Worker& worker);
  void reap();
  bool make_room();
  void nudge(size_t most);

  bool admit(const httplib::Request& request, httplib::Response& response) const;
  void check(const httplib::Request& request) const;
  void check_body(const httplib::Request& request) const;
  std::string read_body(const httplib::ContentReader& reader) const;
  RequestError bad_head(int otherwise) const;
  void last_word(Connection& connection) const;

  const HttpLimits limits_;
  const std::string key_sum_;                   // sha256 of the key, or empty
  std::map<std::string, std::string> methods_;  // of each path
  std::atomic<bool> stopping_ = false;
  mutable std::mutex mutex_;
  std::condition_variable ended_;
  std::list<Worker> workers_;
  std::thread acceptor_;
};

}  // namespace rmoe::serve
