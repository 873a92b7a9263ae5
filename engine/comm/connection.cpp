#include "engine/comm/connection.hpp"

#include "engine/error.hpp"

#include <cerrno>
#include <cstring>
#include <memory>
#include <netdb.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>

namespace rmoe {
namespace {

constexpr uint32_t kLongest = 1 << 20;  // of a message: what is longer is none of ours
constexpr double kSendSeconds = 5;      // also the longest attempt to connect
constexpr int kWaiting = 4096;          // connections that the system holds for us

struct FreeAddresses {
  void operator()(addrinfo* list) const { freeaddrinfo(list); }
};
using Addresses = std::unique_ptr<addrinfo, FreeAddresses>;

Addresses resolve(const char* host, int port, int flags, std::string& problem) {
  addrinfo hints{}, *list = nullptr;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = flags;
  const int error = getaddrinfo(host, std::to_string(port).c_str(), &hints, &list);
  if (error != 0)
    problem = concat("cannot resolve ", host ? host : "this machine", ": ", gai_strerror(error));
  return Addresses(error == 0 ? list : nullptr);
}

Descriptor make_socket(const addrinfo& address) {
  return Descriptor(::socket(address.ai_family, address.ai_socktype | SOCK_CLOEXEC, address.ai_protocol));
}

void set(int fd, int level, int option, int value) { ::setsockopt(fd, level, option, &value, sizeof value); }

void set_timeout(int fd, int option, double seconds) {
  const timeval time{.tv_sec = time_t(seconds),
                     .tv_usec = suseconds_t((seconds - double(time_t(seconds))) * 1e6)};
  ::setsockopt(fd, SOL_SOCKET, option, &time, sizeof time);
}

/// A machine that vanishes without a word is noticed by the system: after 5 s of silence it asks, every 2 s.
void configure(int fd) {
  set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  set(fd, IPPROTO_TCP, TCP_KEEPIDLE, 5);
  set(fd, IPPROTO_TCP, TCP_KEEPINTVL, 2);
  set(fd, IPPROTO_TCP, TCP_KEEPCNT, 3);
  set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, 15000);
  set_timeout(fd, SO_SNDTIMEO, kSendSeconds);
}

bool send_all(int fd, const char* bytes, size_t size) {
  while (size > 0) {
    const ssize_t n = ::send(fd, bytes, size, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    bytes += n;
    size -= size_t(n);
  }
  return true;
}

bool receive_all(int fd, char* bytes, size_t size) {
  while (size > 0) {
    const ssize_t n = ::recv(fd, bytes, size, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    bytes += n;
    size -= size_t(n);
  }
  return true;
}

bool is_own_address(const std::string& address) {
  return address == "127.0.0.1" || address == "::1" || address == "localhost";
}

/// IPv6 first: such a socket takes IPv4 too.
Descriptor bind_to(const addrinfo* list, std::string& problem) {
  for (const int family : {AF_INET6, AF_INET})
    for (const addrinfo* address = list; address; address = address->ai_next) {
      if (address->ai_family != family) continue;
      Descriptor socket = make_socket(*address);
      set(socket.get(), SOL_SOCKET, SO_REUSEADDR, 1);
      if (family == AF_INET6) set(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, 0);
      if (::bind(socket.get(), address->ai_addr, address->ai_addrlen) == 0 &&
          ::listen(socket.get(), kWaiting) == 0)
        return socket;
      problem = std::strerror(errno);
    }
  return Descriptor();
}

}  // namespace

Descriptor::~Descriptor() {
  if (fd_ >= 0) ::close(fd_);
}

Descriptor& Descriptor::operator=(Descriptor&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}

int Descriptor::release() { return std::exchange(fd_, -1); }

bool Connection::send(Word word, std::string_view body) const {
  const uint32_t length = uint32_t(body.size());
  RMOE_CHECK(length <= kLongest, "store: a message of ", length, " bytes, at most ", kLongest,
             " can be sent");
  std::string bytes(sizeof length + 1, char(word));
  std::memcpy(bytes.data(), &length, sizeof length);
  bytes += body;
  return send_all(fd(), bytes.data(), bytes.size());
}

std::optional<Message> Connection::receive() const {
  char head[sizeof(uint32_t) + 1];
  uint32_t length = 0;
  if (!receive_all(fd(), head, sizeof head)) return std::nullopt;
  std::memcpy(&length, head, sizeof length);
  if (length > kLongest) return std::nullopt;
  Message message{Word(head[sizeof length]), std::string(length, '\0')};
  if (!receive_all(fd(), message.body.data(), length)) return std::nullopt;
  return message;
}

void Connection::set_patience(double seconds) const { set_timeout(fd(), SO_RCVTIMEO, seconds); }

void Connection::shut() const { ::shutdown(fd(), SHUT_RDWR); }

Descriptor listen_on(const std::string& address, int port) {
  std::string problem;
  const Addresses list = is_own_address(address) ? resolve(address.c_str(), port, 0, problem)
                                                 : resolve(nullptr, port, AI_PASSIVE, problem);
  Descriptor listener = bind_to(list.get(), problem);
  RMOE_CHECK(listener.get() >= 0, "store: rank 0 cannot listen on port ", port, ": ", problem,
             "; choose another MASTER_PORT");
  return listener;
}

std::optional<Connection> accept_from(const Descriptor& listener) {
  Descriptor socket(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (socket.get() < 0) return std::nullopt;
  configure(socket.get());
  return Connection(std::move(socket));
}

std::optional<Connection> connect_to(const std::string& address, int port, std::string& problem) {
  const Addresses list = resolve(address.empty() ? nullptr : address.c_str(), port, 0, problem);
  for (const addrinfo* a = list.get(); a; a = a->ai_next) {
    Descriptor socket = make_socket(*a);
    configure(socket.get());
    if (::connect(socket.get(), a->ai_addr, a->ai_addrlen) == 0) return Connection(std::move(socket));
    problem = errno == EINPROGRESS ? "no answer" : std::strerror(errno);
  }
  return std::nullopt;
}

int free_port() {
  std::string problem;
  const Addresses list = resolve("127.0.0.1", 0, 0, problem);
  const Descriptor socket = bind_to(list.get(), problem);
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  char port[16] = "";
  RMOE_CHECK(::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &size) == 0 &&
                 getnameinfo(reinterpret_cast<sockaddr*>(&address), size, nullptr, 0, port, sizeof port,
                             NI_NUMERICSERV) == 0,
             "store: this machine has no free port: ", problem);
  return std::atoi(port);
}

std::string pack(const std::vector<std::string>& texts) {
  std::string bytes;
  for (const std::string& text : texts) {
    const uint32_t length = uint32_t(text.size());
    bytes.append(reinterpret_cast<const char*>(&length), sizeof length);
    bytes += text;
  }
  return bytes;
}

std::vector<std::string> unpack(std::string_view bytes) {
  std::vector<std::string> texts;
  while (!bytes.empty()) {
    uint32_t length = 0;
    if (bytes.size() < sizeof length) return {};
    std::memcpy(&length, bytes.data(), sizeof length);
    bytes.remove_prefix(sizeof length);
    if (bytes.size() < length) return {};
    texts.emplace_back(bytes.substr(0, length));
    bytes.remove_prefix(length);
  }
  return texts;
}

}  // namespace rmoe
