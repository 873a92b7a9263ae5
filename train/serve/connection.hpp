// One client's socket as httplib reads and writes it. The library's own stream waits anew for every byte, so
// that a client who drips one byte a second holds a thread for ever; it sends head and body apart; and what
// it reads ahead is lost between two requests. Here a request has one deadline and one bound on its size.
#pragma once

#include "train/serve/limits.hpp"

#include <atomic>
#include <chrono>
#include <httplib.h>
#include <string>

namespace rmoe::serve {

class Connection final : public httplib::Stream {
 public:
  Connection(int socket, const HttpLimits& limits);
  ~Connection() override;
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  /// The one that this thread serves: httplib's handlers are not told which it is.
  static Connection& current();
  static void set_current(Connection* connection);

  /// Sleeps until a request begins; false if none will: the client has gone, was idle too long, or we end.
  bool wait_for_request();
  /// The head is read: what follows is the body, with a bound of its own.
  void body_begins() { unread_ = limits_.body_bytes + limits_.head_bytes; }
  /// Sends what is held back.
  bool flush();
  /// After this answer.
  void close_soon() { closing_ = true; }
  bool closing() const { return closing_ || timed_out_ || too_large_; }
  bool timed_out() const { return timed_out_; }
  bool too_large() const { return too_large_; }
  /// Something was written since the request began.
  bool answered() const { return answered_; }
  /// The client has hung up, or sends nothing more.
  bool peer_gone() const;

  // From other threads.
  bool idle() const { return idle_; }
  void stop_reading();  // ends a wait
  void abort();         // ends anything

  bool is_readable() const override { return true; }
  bool is_writable() const override;
  ssize_t read(char* out, size_t size) override;
  ssize_t write(const char* data, size_t size) override;
  void get_remote_ip_and_port(std::string&, int&) const override {}
  void get_local_ip_and_port(std::string&, int&) const override {}
  socket_t socket() const override { return socket_; }

 private:
  using Clock = std::chrono::steady_clock;

  bool fill();
  bool wait_for(short events, Clock::time_point until) const;
  void linger();

  const int socket_;
  const HttpLimits& limits_;
  std::string buffer_ = std::string(16384, '\0');
  size_t begin_ = 0, end_ = 0;  // of what is in it
  std::string held_;            // to be sent
  bool holding_ = true;         // a head, until its body comes
  size_t unread_ = 0;           // bytes that may still come
  Clock::time_point deadline_;  // for them
  bool closing_ = false, timed_out_ = false, too_large_ = false, broken_ = false, answered_ = false;
  std::atomic<bool> idle_ = false;
};

}  // namespace rmoe::serve
