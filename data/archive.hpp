// Reading zip, tar.* and Debian packages. Of a package, the members are the files it would install.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

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

}  // namespace rmoe
