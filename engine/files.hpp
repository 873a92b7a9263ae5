// Files that survive a crash: written whole, forced to disk, and only then put in place by a rename, which
// the system does completely or not at all. Every error is one line naming the file and the reason.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <utility>

namespace rmoe::files {

using Path = std::filesystem::path;

/// An open file, closed with its owner.
class Descriptor {
 public:
  Descriptor(const Path& path, int flags, const char* what);
  ~Descriptor();
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept;
  int get() const { return fd_; }

 private:
  int fd_;
};

/// Writes a file front to back. What was written is safe only after sync().
class Writer {
 public:
  enum class Mode { truncate, append, update };  // update keeps what is there and starts at its front
  explicit Writer(const Path& path, Mode mode = Mode::truncate);

  void write(const void* data, int64_t bytes);
  void write(std::string_view text) { write(text.data(), int64_t(text.size())); }
  void sync();
  /// The next write goes to this place.
  void seek(int64_t offset);
  /// Cuts the file off there and writes on behind.
  void cut(int64_t size);
  int64_t bytes() const { return bytes_; }   // written by this Writer
  uint32_t crc32() const { return crc32_; }  // of these bytes

 private:
  Path path_;
  Descriptor file_;
  int64_t bytes_ = 0;
  uint32_t crc32_ = 0;
};

/// Reads a file front to back; a file that ends too early is an error.
class Reader {
 public:
  explicit Reader(const Path& path);

  void read(void* data, int64_t bytes);
  /// Leaves out this many bytes.
  void skip(int64_t bytes);
  int64_t bytes() const { return bytes_; }        // of the whole file
  int64_t position() const { return position_; }  // bytes read so far

 private:
  Path path_;
  Descriptor file_;
  int64_t bytes_ = 0, position_ = 0;
};

std::string read(const Path& path);
uint32_t crc32_of(const Path& path);
uint32_t crc32_of(std::string_view bytes);

/// Puts `bytes` in the place of the file, if there is one: a reader sees the old bytes or the new, never a
/// mix.
void replace(const Path& path, std::string_view bytes);
/// Makes `link` point to `target`; it points to something at every instant.
void replace_link(const Path& link, const Path& target);

void make_folder(const Path& path);
/// Forces the names in a folder to disk: a new or renamed file is not safe before.
void sync_folder(const Path& path);
void rename(const Path& from, const Path& to);
void remove(const Path& path);  // a file, a link or a whole folder; no error if there is none

/// Called before every operation that changes the disk. Tests throw from it what a crash would cut off.
using Observer = std::function<void(const char* operation, const Path& path)>;
void set_observer(Observer observer);

}  // namespace rmoe::files
