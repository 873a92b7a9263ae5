// A file server for tests: one file at every path but /missing, on a free port of this machine, one request
// at a time.
#pragma once

#include "engine/error.hpp"

#include <arpa/inet.h>
#include <atomic>
#include <cstdlib>
#include <netinet/in.h>
#include <string>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace rmoe::test {

class FileServer {
 public:
  explicit FileServer(std::string content) : content_(std::move(content)) {
    socket_ = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{
        .sin_family = AF_INET, .sin_port = 0, .sin_addr = {htonl(INADDR_LOOPBACK)}, .sin_zero = {}};
    socklen_t size = sizeof address;
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    RMOE_CHECK(socket_ >= 0 && bind(socket_, generic, size) == 0 && listen(socket_, 8) == 0 &&
                   getsockname(socket_, generic, &size) == 0,
               "test server: no port");
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { serve(); });
  }
  ~FileServer() {
    ::shutdown(socket_, SHUT_RDWR);
    thread_.join();
    ::close(socket_);
  }

  std::string url(const std::string& path = "/file") const {
    return concat("http://127.0.0.1:", port_, path);
  }

  // How it behaves, and what it was asked; set and read these while no request runs.
  std::atomic<int64_t> stop_after = -1;  // hang up after so many bytes of an answer's body
  std::atomic<bool> ranges = true;
  std::vector<int64_t> starts;  // first byte of every request that was answered

 private:
  void serve() {
    for (int client; (client = ::accept(socket_, nullptr, nullptr)) >= 0; ::close(client)) {
      std::string request(4096, '\0');
      request.resize(std::max<ssize_t>(0, ::recv(client, request.data(), request.size(), 0)));
      answer(client, request);
    }
  }

  void answer(int client, const std::string& request) {
    if (request.starts_with("GET /missing"))
      return send(client, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    const size_t range = request.find("Range: bytes=");
    const bool part = ranges && range != request.npos;
    const size_t start = part ? std::strtoull(request.c_str() + range + 13, nullptr, 10) : 0;
    starts.push_back(int64_t(start));
    const std::string status = part ? concat("206 Partial Content\r\nContent-Range: bytes ", start, "-",
                                             content_.size() - 1, "/", content_.size())
                                    : "200 OK";
    send(client, concat("HTTP/1.1 ", status, "\r\nContent-Length: ", content_.size() - start, "\r\n\r\n"));
    send(client, content_.substr(start, stop_after < 0 ? content_.npos : size_t(stop_after)));
  }

  static void send(int client, const std::string& text) {
    for (size_t sent = 0; sent < text.size();) {
      const ssize_t n = ::send(client, text.data() + sent, text.size() - sent, MSG_NOSIGNAL);
      if (n <= 0) return;  // the client has hung up
      sent += size_t(n);
    }
  }

  std::string content_;
  int socket_, port_;
  std::thread thread_;
};

}  // namespace rmoe::test
