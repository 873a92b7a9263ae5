#include "data/archive.hpp"

#include "engine/error.hpp"

#include <archive.h>
#include <archive_entry.h>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <functional>
#include <memory>

namespace rmoe {
namespace {

namespace fs = std::filesystem;

constexpr size_t kBlock = 1 << 20;

using Reader = std::unique_ptr<archive, decltype(&archive_read_free)>;
/// Sees one member; returns false when it has seen enough.
using Visit = std::function<bool(archive*, archive_entry*, const fs::path& member)>;

std::string reason(archive* reader) {
  const char* text = archive_error_string(reader);
  return text ? text : "damaged";
}

Reader new_reader() {
  Reader reader(archive_read_new(), &archive_read_free);
  RMOE_CHECK(reader, "archive: libarchive does not start");
  archive_read_support_filter_all(reader.get());
  return reader;
}

Reader open_memory(std::string_view data, const std::string& name, int (*support_format)(archive*)) {
  Reader reader = new_reader();
  support_format(reader.get());
  RMOE_CHECK(archive_read_open_memory(reader.get(), data.data(), data.size()) == ARCHIVE_OK,
             "archive: ", name, ": ", reason(reader.get()));
  return reader;
}

/// Hands the current member's content to sink(data, bytes), block by block.
template <class Sink>
void read_blocks(archive* reader, const std::string& name, Sink&& sink) {
  std::string block(kBlock, '\0');
  la_ssize_t n;
  while ((n = archive_read_data(reader, block.data(), block.size())) > 0) sink(block.data(), size_t(n));
  RMOE_CHECK(n == 0, "archive: ", name, ": ", reason(reader));
}

std::string read_all(archive* reader, const std::string& name) {
  std::string all;
  read_blocks(reader, name, [&](const char* data, size_t bytes) { all.append(data, bytes); });
  return all;
}

void write_file(archive* reader, const std::string& name, const fs::path& to) {
  if (to.has_parent_path()) fs::create_directories(to.parent_path());
  std::ofstream out(to, std::ios::binary);
  read_blocks(reader, name, [&](const char* data, size_t bytes) { out.write(data, std::streamsize(bytes)); });
  out.close();
  RMOE_CHECK(out, "archive: cannot write ", to.string(), ": ", std::strerror(errno));
}

/// The member's path without "." parts; one that leads out of the folder it is unpacked to is an error.
fs::path member_path(archive_entry* entry, const std::string& name) {
  const char* raw = archive_entry_pathname_utf8(entry);
  if (!raw) raw = archive_entry_pathname(entry);
  RMOE_CHECK(raw, "archive: ", name, " has a member without a readable name");
  fs::path path;
  for (const fs::path& part : fs::path(raw)) {
    RMOE_CHECK(part != ".." && !part.is_absolute(), "archive: ", name, " has the member ", raw,
               ", which leads out of its folder");
    if (part != "." && !part.empty()) path /= part;
  }
  return path;
}

bool is_ar(archive* reader) {
  return (archive_format(reader) & ARCHIVE_FORMAT_BASE_MASK) == ARCHIVE_FORMAT_AR;
}

bool for_each_member(archive* reader, const std::string& name, const Visit& visit) {
  archive_entry* entry = nullptr;
  int status;
  while ((status = archive_read_next_header(reader, &entry)) == ARCHIVE_OK || status == ARCHIVE_WARN) {
    const fs::path member = member_path(entry, name);
    if (!is_ar(reader)) {
      if (!visit(reader, entry, member)) return false;
    } else if (member.string().starts_with("data.tar")) {  // the files of a Debian package
      const std::string inner = read_all(reader, name);
      if (!for_each_member(open_memory(inner, name, archive_read_support_format_tar).get(), name, visit))
        return false;
    }
  }
  RMOE_CHECK(status == ARCHIVE_EOF, "archive: ", name, ": ", reason(reader));
  return true;
}

bool for_each_member(const fs::path& file, const Visit& visit) {
  Reader reader = new_reader();
  archive_read_support_format_zip(reader.get());
  archive_read_support_format_tar(reader.get());
  archive_read_support_format_ar(reader.get());
  RMOE_CHECK(archive_read_open_filename(reader.get(), file.c_str(), kBlock) == ARCHIVE_OK,
             "archive: ", file.string(), ": ", reason(reader.get()));
  return for_each_member(reader.get(), file.string(), visit);
}

void find_member(const fs::path& file, const std::string& wanted, const std::function<void(archive*)>& use) {
  const bool missing =
      for_each_member(file, [&](archive* reader, archive_entry* entry, const fs::path& member) {
        if (member != wanted || archive_entry_filetype(entry) != AE_IFREG) return true;
        use(reader);
        return false;
      });
  RMOE_CHECK(!missing, "archive: ", file.string(), " has no file ", wanted);
}

}  // namespace

std::vector<fs::path> unpack(const fs::path& file, const fs::path& folder) {
  std::vector<fs::path> files;
  for_each_member(file, [&](archive* reader, archive_entry* entry, const fs::path& member) {
    const auto type = archive_entry_filetype(entry);
    const bool link = archive_entry_hardlink(entry) || (type != AE_IFREG && type != AE_IFDIR);
    RMOE_CHECK(!link, "archive: ", file.string(), " has the member ", member.string(),
               ", which is neither a file nor a folder");
    if (type == AE_IFDIR) {
      fs::create_directories(folder / member);
    } else {
      write_file(reader, file.string(), folder / member);
      files.push_back(folder / member);
    }
    return true;
  });
  return files;
}

void unpack_member(const fs::path& file, const std::string& member, const fs::path& to) {
  find_member(file, member, [&](archive* reader) { write_file(reader, file.string(), to); });
}

std::string read_member(const fs::path& file, const std::string& member) {
  std::string content;
  find_member(file, member, [&](archive* reader) { content = read_all(reader, file.string()); });
  return content;
}

std::string decompress(std::string_view data) {
  const std::string name = "a compressed stream";
  const Reader reader = open_memory(data, name, archive_read_support_format_raw);
  archive_entry* entry = nullptr;
  RMOE_CHECK(archive_read_next_header(reader.get(), &entry) == ARCHIVE_OK, "archive: ", name, ": ",
             reason(reader.get()));
  return read_all(reader.get(), name);
}

Decompressor::Decompressor(const fs::path& file)
    : name_(file.string()), reader_(archive_read_new(), &archive_read_free) {
  RMOE_CHECK(reader_, "archive: libarchive does not start");
  archive* reader = reader_.get();
  archive_read_support_filter_gzip(reader);
  archive_read_support_filter_bzip2(reader);
  archive_read_support_filter_xz(reader);
  archive_read_support_filter_zstd(reader);
  archive_read_support_format_raw(reader);
  archive_entry* entry = nullptr;
  RMOE_CHECK(archive_read_open_filename(reader, file.c_str(), kBlock) == ARCHIVE_OK &&
                 archive_read_next_header(reader, &entry) == ARCHIVE_OK,
             "archive: ", name_, ": ", reason(reader));
  RMOE_CHECK(archive_filter_count(reader) > 1, "archive: ", name_, " is not compressed as its name says");
}

size_t Decompressor::read(char* data, size_t bytes) {
  const la_ssize_t n = archive_read_data(reader_.get(), data, bytes);
  RMOE_CHECK(n >= 0, "archive: ", name_, ": ", reason(reader_.get()));
  return size_t(n);
}

int64_t Decompressor::position() const { return archive_filter_bytes(reader_.get(), -1); }

}  // namespace rmoe
