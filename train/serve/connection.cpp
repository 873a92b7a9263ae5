#include "train/serve/connection.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <utility>

namespace rmoe::serve {
namespace {

thread_local Connection* the_current = nullptr;

std::chrono::steady_clock::duration span_of(double seconds) {
  return std::chrono::duration_cast<std::chrono::steady_clock::duration>(
      std::chrono::duration<double>(seconds));
}

/// How long a client who is being turned away may go on sending, so that it gets to read why.
constexpr double kLingerSeconds = 1;

}  // namespace

Connection::Connection(int socket, const HttpLimits& limits) : socket_(socket), limits_(limits) {
  const int on = 1;  // without it a small answer waits 40 ms for the client's delayed acknowledgement
  setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

Connection::~Connection() {
  flush();
  linger();
  ::close(socket_);
}

Connection& Connection::current() { return *the_current; }
void Connection::set_current(Connection* connection) { the_current = connection; }

bool Connection::wait_for(short events, Clock::time_point until) const {
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now()).count();
    pollfd waiting{.fd = socket_, .events = events, .revents = 0};
    const int ready = ::poll(&waiting, 1, int(std::clamp<int64_t>(left, 0, 1 << 30)));
    if (ready >= 0 || errno != EINTR) return ready > 0;
  }
}

bool Connection::wait_for_request() {
  holding_ = true;
  answered_ = false;
  if (begin_ == end_) {
    idle_ = true;
    const bool comes = wait_for(POLLIN, Clock::now() + span_of(limits_.idle_seconds));
    idle_ = false;
    deadline_ = Clock::now() + span_of(limits_.read_seconds);
    if (!comes || !fill()) return false;
  }
  deadline_ = Clock::now() + span_of(limits_.read_seconds);
  unread_ = limits_.head_bytes;
  return true;
}

bool Connection::fill() {
  if (!wait_for(POLLIN, deadline_)) {
    timed_out_ = true;
    return false;
  }
  const ssize_t n = ::recv(socket_, buffer_.data(), buffer_.size(), 0);
  begin_ = 0;
  end_ = size_t(std::max<ssize_t>(n, 0));
  return n > 0;
}

ssize_t Connection::read(char* out, size_t size) {
  if (!flush()) return -1;  // "100 Continue"
  holding_ = true;
  if (unread_ == 0) {
    too_large_ = true;
    return -1;
  }
  if (begin_ == end_ && !fill()) return -1;
  const size_t n = std::min({size, end_ - begin_, unread_});
  std::memcpy(out, buffer_.data() + begin_, n);
  begin_ += n;
  unread_ -= n;
  return ssize_t(n);
}

/// The head waits for the body, so that both leave in one packet; then every piece goes out as it comes.
ssize_t Connection::write(const char* data, size_t size) {
  held_.append(data, size);
  answered_ = true;
  if (std::exchange(holding_, false)) return ssize_t(size);
  return flush() ? ssize_t(size) : -1;
}

bool Connection::flush() {
  const auto until = Clock::now() + span_of(limits_.write_seconds);
  for (size_t sent = 0; sent < held_.size() && !broken_;) {
    const ssize_t n = ::send(socket_, held_.data() + sent, held_.size() - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n > 0) sent += size_t(n);
    if (n < 0 && (errno != EAGAIN || !wait_for(POLLOUT, until)) && errno != EINTR) broken_ = true;
  }
  held_.clear();
  return !broken_;
}

bool Connection::is_writable() const { return !broken_ && !peer_gone(); }

bool Connection::peer_gone() const {
  pollfd state{.fd = socket_, .events = POLLRDHUP, .revents = 0};
  return ::poll(&state, 1, 0) > 0;
}

void Connection::stop_reading() { ::shutdown(socket_, SHUT_RD); }
void Connection::abort() { ::shutdown(socket_, SHUT_RDWR); }

/// A socket closed over unread input answers with a reset, which destroys what the client has not read yet.
void Connection::linger() {
  ::shutdown(socket_, SHUT_WR);
  const auto until = Clock::now() + span_of(kLingerSeconds);
  while (Clock::now() < until && wait_for(POLLIN, until))
    if (::recv(socket_, buffer_.data(), buffer_.size(), 0) <= 0) return;
}

}  // namespace rmoe::serve
