// Reading zip, tar.* and Debian packages. Of a package, the members are the files it would install.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

struct archive;  // libarchive's

namespace rmoe {

/// Unpacks every file and folder into `folder` and names the files. A member that is a link, or would land
/// outside the folder, is an error.
std::vector<std::filesystem::path> unpack(const std::filesystem::path& archive,
                                          const std::filesystem::path& folder);

/// Unpacks the member of this path (without a leading "./") to the file `to`.
void unpack_member(const std::filesystem::path& archive, const std::string& member,
                   const std::filesystem::path& to);

/// The content of one member.
std::string read_member(const std::filesystem::path& archive, const std::string& member);

/// Decompresses what libarchive knows as a single compressed stream (compress, gzip, xz, ...).
std::string decompress(std::string_view data);

/// Reads a file compressed with gzip, bzip2, xz or zstd front to back.
class Decompressor {
 public:
  explicit Decompressor(const std::filesystem::path& file);
  /// At most `bytes` more of the content; 0 at its end.
  size_t read(char* data, size_t bytes);
  /// Bytes of the compressed file read so far.
  int64_t position() const;

 private:
  std::string name_;
  std::unique_ptr<archive, int (*)(archive*)> reader_;
};

}  // namespace rmoe
