// TCP between ranks: whole messages, IPv4 and IPv6.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rmoe {

/// What is said between a rank and the store.
enum class Word : uint8_t { hello, welcome, gather, gathered, progress, stalled, abort, bye };

struct Message {
  Word word;
  std::string body;
};

/// A file descriptor, closed with its owner.
class Descriptor {
 public:
  explicit Descriptor(int fd = -1) : fd_(fd) {}
  ~Descriptor();
  Descriptor(Descriptor&& other) noexcept : fd_(other.release()) {}
  Descriptor& operator=(Descriptor&& other) noexcept;
  int get() const { return fd_; }
  int release();

 private:
  int fd_;
};

class Connection {
 public:
  explicit Connection(Descriptor socket) : socket_(std::move(socket)) {}

  int fd() const { return socket_.get(); }
  /// False if the other side is gone, or takes nothing for seconds.
  bool send(Word word, std::string_view body = "") const;
  /// Waits for a message; none if the other side is gone, or sends what is none.
  std::optional<Message> receive() const;
  /// How long receive() waits; 0: forever.
  void set_patience(double seconds) const;
  /// Makes receive() of another thread return.
  void shut() const;

 private:
  Descriptor socket_;
};

/// A socket that listens; on this machine's own address if that is what ranks use, else on all of them.
Descriptor listen_on(const std::string& address, int port);
std::optional<Connection> accept_from(const Descriptor& listener);

/// An empty address is this machine. Not there: nothing, and why in `problem`.
std::optional<Connection> connect_to(const std::string& address, int port, std::string& problem);

/// A port that nobody listens on.
int free_port();

std::string pack(const std::vector<std::string>& texts);
/// Empty if `bytes` are no packed texts.
std::vector<std::string> unpack(std::string_view bytes);

}  // namespace rmoe
