#include "engine/files.hpp"

#include "engine/error.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>
#include <vector>
#include <zlib.h>

namespace rmoe::files {
namespace {

constexpr int64_t kPiece = 1 << 20;  // bytes: a system call, and a step of a checksum

Observer observer_;

void about_to(const char* operation, const Path& path) {
  if (observer_) observer_(operation, path);
}

[[noreturn]] void fail_with(int code, const char* what, const Path& path) {
  const char* cure = code == ENOSPC || code == EDQUOT ? " (free some space and try again)" : "";
  fail("cannot ", what, " ", path.string(), ": ", std::strerror(code), cure);
}

/// Repeats a system call while signals interrupt it.
template <class Call>
auto checked(const Call& call, const char* what, const Path& path) {
  for (;;) {
    const auto result = call();
    if (result >= 0) return result;
    if (errno != EINTR) fail_with(errno, what, path);
  }
}

uint32_t crc32_more(uint32_t crc, const void* data, int64_t bytes) {
  return static_cast<uint32_t>(crc32_z(crc, static_cast<const Bytef*>(data), static_cast<size_t>(bytes)));
}

int flags_of(Writer::Mode mode) {
  if (mode == Writer::Mode::update) return 0;
  return mode == Writer::Mode::append ? O_APPEND : O_TRUNC;
}

Path folder_of(const Path& path) { return path.has_parent_path() ? path.parent_path() : Path("."); }
Path temporary(const Path& path) { return folder_of(path) / (".tmp-" + path.filename().string()); }

}  // namespace

Descriptor::Descriptor(const Path& path, int flags, const char* what)
    : fd_(checked([&] { return ::open(path.c_str(), flags | O_CLOEXEC, 0666); }, what, path)) {}

Descriptor::~Descriptor() {
  if (fd_ >= 0) ::close(fd_);
}

Descriptor& Descriptor::operator=(Descriptor&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}

Writer::Writer(const Path& path, Mode mode)
    : path_(path), file_((about_to("open", path), path), O_WRONLY | O_CREAT | flags_of(mode), "write") {}

void Writer::write(const void* data, int64_t bytes) {
  about_to("write", path_);
  const char* next = static_cast<const char*>(data);
  crc32_ = crc32_more(crc32_, data, bytes);
  bytes_ += bytes;
  while (bytes > 0) {
    const ssize_t done = checked([&] { return ::write(file_.get(), next, bytes); }, "write", path_);
    next += done;
    bytes -= done;
  }
}

void Writer::sync() {
  about_to("sync", path_);
  checked([&] { return ::fsync(file_.get()); }, "write", path_);
}

void Writer::seek(int64_t offset) {
  checked([&] { return ::lseek(file_.get(), offset, SEEK_SET); }, "write", path_);
}

void Writer::cut(int64_t size) {
  about_to("cut", path_);
  checked([&] { return ::ftruncate(file_.get(), size); }, "write", path_);
  seek(size);
}

Reader::Reader(const Path& path) : path_(path), file_(path, O_RDONLY, "read") {
  struct stat status {};
  checked([&] { return ::fstat(file_.get(), &status); }, "read", path);
  if (S_ISDIR(status.st_mode)) fail_with(EISDIR, "read", path);
  bytes_ = status.st_size;
}

void Reader::read(void* data, int64_t bytes) {
  char* next = static_cast<char*>(data);
  position_ += bytes;
  while (bytes > 0) {
    const ssize_t done = checked([&] { return ::read(file_.get(), next, bytes); }, "read", path_);
    RMOE_CHECK(done > 0, "cannot read ", path_.string(), ": it ends ", bytes, " bytes too early");
    next += done;
    bytes -= done;
  }
}

void Reader::skip(int64_t bytes) {
  RMOE_CHECK(position_ + bytes <= bytes_, "cannot read ", path_.string(), ": it has ", bytes_,
             " bytes, wanted one at ", position_ + bytes);
  position_ += bytes;
  checked([&] { return ::lseek(file_.get(), position_, SEEK_SET); }, "read", path_);
}

std::string read(const Path& path) {
  Reader reader(path);
  std::string bytes(static_cast<size_t>(reader.bytes()), '\0');
  reader.read(bytes.data(), reader.bytes());
  return bytes;
}

uint32_t crc32_of(const Path& path) {
  Reader reader(path);
  std::vector<char> piece(kPiece);
  uint32_t crc = 0;
  for (int64_t left = reader.bytes(); left > 0; left -= std::min(left, kPiece)) {
    reader.read(piece.data(), std::min(left, kPiece));
    crc = crc32_more(crc, piece.data(), std::min(left, kPiece));
  }
  return crc;
}

uint32_t crc32_of(std::string_view bytes) { return crc32_more(0, bytes.data(), int64_t(bytes.size())); }

void replace(const Path& path, std::string_view bytes) {
  {
    Writer writer(temporary(path));
    writer.write(bytes);
    writer.sync();
  }
  files::rename(temporary(path), path);
  sync_folder(folder_of(path));
}

void replace_link(const Path& link, const Path& target) {
  files::remove(temporary(link));
  about_to("link", link);
  checked([&] { return ::symlink(target.c_str(), temporary(link).c_str()); }, "write", link);
  files::rename(temporary(link), link);
  sync_folder(folder_of(link));
}

void make_folder(const Path& path) {
  about_to("make folder", path);
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) fail_with(error.value(), "make the folder", path);
}

void sync_folder(const Path& path) {
  about_to("sync folder", path);
  const Descriptor folder(path, O_RDONLY | O_DIRECTORY, "write");
  checked([&] { return ::fsync(folder.get()); }, "write", path);
}

void rename(const Path& from, const Path& to) {
  about_to("rename", to);
  checked([&] { return ::rename(from.c_str(), to.c_str()); }, "write", to);
}

void remove(const Path& path) {
  about_to("remove", path);
  std::error_code error;
  std::filesystem::remove_all(path, error);
  if (error) fail_with(error.value(), "remove", path);
}

void set_observer(Observer observer) { observer_ = std::move(observer); }

}  // namespace rmoe::files
