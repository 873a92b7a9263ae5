#include "train/serve/http_server.hpp"

#include "data/sha256.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fmt/core.h>
#include <sys/socket.h>

namespace rmoe::serve {
namespace {

constexpr int kBacklog = 128;
constexpr const char* kJson = "application/json";

void refuse(httplib::Response& response, const RequestError& error) {
  response.status = error.status;
  response.set_content(error.body(), kJson);
  if (error.status == 401) response.set_header("WWW-Authenticate", "Bearer");
  if (error.status == 503) response.set_header("Retry-After", "1");
}

/// Runs a handler; whatever it throws becomes the answer.
template <class F>
void answer_with(httplib::Response& response, F&& f) {
  try {
    f();
  } catch (const RequestError& e) {
    refuse(response, e);
  } catch (const std::exception& e) {
    fmt::print(stderr, "rmoe serve: {}\n", e.what());
    refuse(response, RequestError(500, e.what()));
  }
}

bool has_body(const httplib::Request& request) {
  return request.has_header("Transfer-Encoding") ||
         (request.has_header("Content-Length") && request.get_header_value("Content-Length") != "0");
}

/// Takes as long for any guess: sums of what is compared, and no early end.
bool same_key(const std::string& sum, const std::string& guess) {
  const std::string other = sha256(guess);
  unsigned char difference = 0;
  for (size_t i = 0; i < sum.size(); ++i) difference |= (unsigned char)(sum[i] ^ other[i]);
  return difference == 0;
}

}  // namespace

HttpServer::HttpServer(const HttpLimits& limits, const std::string& api_key)
    : limits_(limits), key_sum_(api_key.empty() ? "" : sha256(api_key)) {
  set_keep_alive_timeout(time_t(limits.idle_seconds));  // these two are only told to the client
  set_keep_alive_max_count(1000000);
  // The library's own option lets another process listen on the same port unnoticed.
  set_socket_options([](socket_t socket) {
    const int on = 1;
    setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  });
  set_pre_routing_handler([this](const httplib::Request& request, httplib::Response& response) {
    return admit(request, response) ? HandlerResponse::Unhandled : HandlerResponse::Handled;
  });
  set_expect_100_continue_handler([this](const httplib::Request& request, httplib::Response& response) {
    return admit(request, response) ? 100 : response.status;
  });
  set_error_handler([this](const httplib::Request&, httplib::Response& response) {
    if (!response.body.empty()) return;
    Connection::current().close_soon();
    refuse(response, bad_head(response.status));
  });
  set_post_routing_handler([this](const httplib::Request&, httplib::Response& response) {
    if (!stopping_ && !Connection::current().closing()) return;
    response.headers.erase("Keep-Alive");
    response.headers.erase("Connection");
    response.set_header("Connection", "close");
  });
}

HttpServer::~HttpServer() { stop(); }

void HttpServer::get(const std::string& path, Answer answer) {
  methods_[path] = "GET";
  Get(path, [answer](const httplib::Request& request, httplib::Response& response) {
    answer_with(response, [&] { answer(request, "", response); });
  });
}

void HttpServer::post(const std::string& path, Answer answer) {
  methods_[path] = "POST";
  Post(path, [this, answer](const httplib::Request& request, httplib::Response& response,
                            const httplib::ContentReader& reader) {
    answer_with(response, [&] { answer(request, read_body(reader), response); });
  });
}

/// Refuses what can be refused before the body is read; the rest of it then has no meaning, so the connection
/// ends.
bool HttpServer::admit(const httplib::Request& request, httplib::Response& response) const {
  try {
    check(request);
    return true;
  } catch (const RequestError& e) {
    refuse(response, e);
    if (e.status == 405) response.set_header("Allow", methods_.at(request.path));
    if (request.method != "GET" || has_body(request)) Connection::current().close_soon();
    return false;
  }
}

void HttpServer::check(const httplib::Request& request) const {
  const auto known = methods_.find(request.path);
  if (known == methods_.end())
    throw RequestError(404, concat("there is no ", request.path, " here; see rmoe serve --help"));
  const std::string method = request.method == "HEAD" ? "GET" : request.method;
  if (method != known->second)
    throw RequestError(405, concat(request.path, ": wanted ", known->second, ", got ", request.method));
  if (!key_sum_.empty() && request.path != "/health") {
    const std::string given = request.get_header_value("Authorization");
    if (!given.starts_with("Bearer ") || !same_key(key_sum_, given.substr(7)))
      throw RequestError(401, "wrong or missing API key: send the header Authorization: Bearer KEY", "",
                         "invalid_api_key");
  }
  if (method == "GET" && has_body(request)) Connection::current().close_soon();  // httplib leaves it unread
  if (method == "POST") check_body(request);
}

/// httplib would unpack compressed bodies without a bound, read bodies without a length until the end of the
/// connection, and take a length that is no number for 0.
void HttpServer::check_body(const httplib::Request& request) const {
  if (request.has_header("Content-Encoding"))
    throw RequestError(415, "a compressed body is not taken: send it plain");
  if (request.is_multipart_form_data()) throw RequestError(415, "a form is not taken: send a JSON object");
  const std::string coding = request.get_header_value("Transfer-Encoding");
  const size_t lengths = request.get_header_value_count("Content-Length");
  if (!coding.empty()) {
    if (coding != "chunked") throw RequestError(501, "Transfer-Encoding: wanted chunked");
    if (lengths > 0) throw RequestError(400, "Content-Length and Transfer-Encoding contradict each other");
    return;
  }
  if (lengths == 0) throw RequestError(411, "the body needs a Content-Length");
  const std::string length = request.get_header_value("Content-Length");
  if (lengths > 1 || length.empty() ||
      !std::ranges::all_of(length, [](char c) { return c >= '0' && c <= '9'; }))
    throw RequestError(400, "Content-Length: wanted one number");
  if (length.size() > 18 || std::stoull(length) > limits_.body_bytes)
    throw RequestError(413, concat("the body has ", length, " bytes, this server takes ", limits_.body_bytes,
                                   " (--max-body)"));
}

std::string HttpServer::read_body(const httplib::ContentReader& reader) const {
  std::string body;
  bool fits = true;
  const bool whole = reader([&](const char* data, size_t size) {
    fits = body.size() + size <= limits_.body_bytes;
    if (fits) body.append(data, size);
    return fits;
  });
  if (whole) return body;
  Connection& connection = Connection::current();
  connection.close_soon();
  if (!fits || connection.too_large())
    throw RequestError(413, concat("the body has more than ", limits_.body_bytes, " bytes (--max-body)"));
  if (connection.timed_out())
    throw RequestError(408, concat("the body did not arrive within ", limits_.read_seconds, " s"));
  throw RequestError(400, "the body is not what its head says");
}

/// Why a head could not be read; `otherwise` is the status that httplib found for it.
RequestError HttpServer::bad_head(int otherwise) const {
  const Connection& connection = Connection::current();
  if (connection.too_large())
    return RequestError(431, concat("the head has more than ", limits_.head_bytes, " bytes"));
  if (connection.timed_out())
    return RequestError(408, concat("the head did not arrive within ", limits_.read_seconds, " s"));
  return RequestError(otherwise, "this is not a request of HTTP/1.1");
}

/// httplib hangs up on a request whose first line does not come: who was slow or long-winded should learn it.
void HttpServer::last_word(Connection& connection) const {
  if (connection.answered() || !(connection.too_large() || connection.timed_out())) return;
  const RequestError error = bad_head(400);
  const std::string body = error.body();
  const char* const reason = error.status == 408 ? "Request Timeout" : "Request Header Fields Too Large";
  const std::string answer =
      concat("HTTP/1.1 ", error.status, " ", reason, "\r\nConnection: close\r\nContent-Type: ", kJson,
             "\r\nContent-Length: ", body.size(), "\r\n\r\n", body);
  connection.write(answer.data(), answer.size());
}

int HttpServer::start(const std::string& host, int port) {
  errno = 0;
  const int bound = port == 0 ? bind_to_any_port(host) : bind_to_port(host, port) ? port : -1;
  RMOE_CHECK(bound > 0, "serve: cannot listen on ", host, ":", port, ": ",
             errno ? std::strerror(errno) : "no such address", "; choose another --host or --port");
  ::listen(svr_sock_, kBacklog);  // again: the library's own queue of 5 loses connections under load
  acceptor_ = std::thread([this] { accept_loop(); });
  return bound;
}

void HttpServer::accept_loop() {
  while (!stopping_) {
    reap();
    if (!make_room()) continue;
    const int socket = ::accept4(svr_sock_, nullptr, nullptr, SOCK_CLOEXEC);
    if (socket < 0) {  // out of files, or a client who left at once: neither ends the server
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
      continue;
    }
    const std::lock_guard lock(mutex_);
    Worker& worker = workers_.emplace_back();
    try {
      worker.thread = std::thread([this, socket, &worker] { serve(socket, worker); });
    } catch (const std::system_error&) {  // out of threads
      workers_.pop_back();
      ::close(socket);
    }
  }
}

void HttpServer::serve(int socket, Worker& worker) {
  converse(socket, worker);
  const std::lock_guard lock(mutex_);
  worker.ended = true;
  ended_.notify_all();
}

void HttpServer::converse(int socket, Worker& worker) {
  Connection connection(socket, limits_);
  Connection::set_current(&connection);
  const auto show = [&](Connection* shown) {
    const std::lock_guard lock(mutex_);
    worker.connection = shown;
  };
  const auto begin_body = [&](httplib::Request& request) {
    connection.body_begins();
    request.ranges.clear();                    // an answer in parts, or packed, is of no use to anyone,
    request.headers.erase("Accept-Encoding");  // and packing costs more than it saves
  };
  show(&connection);
  try {
    bool closed = false;
    while (!stopping_ && !closed && !connection.closing() && connection.wait_for_request())
      if (!process_request(connection, false, closed, begin_body) || !connection.flush()) break;
    last_word(connection);
  } catch (const std::exception& e) {
    fmt::print(stderr, "rmoe serve: {}\n", e.what());
  }
  show(nullptr);
}

void HttpServer::reap() {
  std::list<Worker> ended;
  {
    const std::lock_guard lock(mutex_);
    for (auto it = workers_.begin(); it != workers_.end();) {
      const auto next = std::next(it);
      if (it->ended) ended.splice(ended.end(), workers_, it);
      it = next;
    }
  }
  for (Worker& worker : ended) worker.thread.join();
}

/// When all places are taken, whoever has been silent must leave for a newcomer.
bool HttpServer::make_room() {
  std::unique_lock lock(mutex_);
  if (int64_t(workers_.size()) < limits_.connections) return true;
  nudge(1);
  ended_.wait_for(lock, std::chrono::milliseconds(20));
  return false;
}

/// Ends up to `most` connections that wait for a request.
void HttpServer::nudge(size_t most) {
  for (Worker& worker : workers_) {
    if (!worker.connection || !worker.connection->idle()) continue;
    worker.connection->stop_reading();
    if (--most == 0) return;
  }
}

bool HttpServer::wind_down(double seconds) {
  if (!stopping_.exchange(true) && acceptor_.joinable()) {
    ::shutdown(svr_sock_, SHUT_RDWR);
    acceptor_.join();
  }
  const auto until = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  std::unique_lock lock(mutex_);
  const auto all_ended = [&] { return std::ranges::all_of(workers_, &Worker::ended); };
  while (!all_ended() && std::chrono::steady_clock::now() < until) {
    nudge(workers_.size());
    ended_.wait_for(lock, std::chrono::milliseconds(20));
  }
  return all_ended();
}

void HttpServer::stop() {
  wind_down(0);
  {
    const std::lock_guard lock(mutex_);
    for (const Worker& worker : workers_)
      if (worker.connection) worker.connection->abort();
  }
  for (Worker& worker : workers_) worker.thread.join();
  workers_.clear();
  if (const int socket = svr_sock_.exchange(INVALID_SOCKET); socket != INVALID_SOCKET) ::close(socket);
}

int64_t HttpServer::connections() const {
  const std::lock_guard lock(mutex_);
  return std::ranges::count(workers_, false, &Worker::ended);
}

}  // namespace rmoe::serve
