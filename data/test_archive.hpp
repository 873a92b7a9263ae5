// Writes archives for tests.
#pragma once

#include "engine/error.hpp"

#include <archive.h>
#include <archive_entry.h>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

namespace rmoe::test {

struct Member {
  std::string name, content;
  int type = AE_IFREG;
};

inline void write_archive(const std::filesystem::path& file, const std::vector<Member>& members,
                          int (*format)(archive*), int (*filter)(archive*) = archive_write_add_filter_none) {
  archive* out = archive_write_new();
  bool good = format(out) == ARCHIVE_OK && filter(out) == ARCHIVE_OK &&
              archive_write_open_filename(out, file.c_str()) == ARCHIVE_OK;
  for (const Member& member : members) {
    archive_entry* entry = archive_entry_new();
    archive_entry_set_pathname(entry, member.name.c_str());
    archive_entry_set_size(entry, member.type == AE_IFREG ? int64_t(member.content.size()) : 0);
    archive_entry_set_filetype(entry, member.type);
    archive_entry_set_perm(entry, member.type == AE_IFDIR ? 0755 : 0644);
    if (member.type == AE_IFLNK) archive_entry_set_symlink(entry, member.content.c_str());
    good = good && archive_write_header(out, entry) == ARCHIVE_OK;
    if (member.type == AE_IFREG) {
      good = good && archive_write_data(out, member.content.data(), member.content.size()) ==
                         la_ssize_t(member.content.size());
    }
    archive_entry_free(entry);
  }
  good = archive_write_close(out) == ARCHIVE_OK && good;
  archive_write_free(out);
  RMOE_CHECK(good, "test: cannot write ", file.string());
}

inline std::string content_of(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

/// A Debian package: an ar of three members, the files in the last one.
inline void write_deb(const std::filesystem::path& file, const std::vector<Member>& members) {
  const std::filesystem::path inner = file.string() + ".tar.xz";
  write_archive(inner, members, archive_write_set_format_gnutar, archive_write_add_filter_xz);
  write_archive(
      file,
      {{"debian-binary", "2.0\n"}, {"control.tar.xz", "not looked at"}, {"data.tar.xz", content_of(inner)}},
      archive_write_set_format_ar_svr4);
  std::filesystem::remove(inner);
}

}  // namespace rmoe::test
