// The corpora that `rmoe data get NAME` knows: where they come from, what they must be, how to unpack them.
#pragma once

#include "data/download.hpp"

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace rmoe {

struct Member {
  std::string name, file;  // in the archive, in the folder
};

struct Source {
  std::string name, about, licence;  // the last two are a line each, for --help
  Download archive;
  std::string archive_name = {};     // what the archive is called on disk while it is needed; empty: it is no
                                     // archive but the file itself
  std::string package = {};          // Debian package that apt-get may fetch instead, if any
  std::string member = {};           // of the archive, that becomes the file
  std::vector<Member> members = {};  // or those that become the files of a folder
  std::string (*read)(std::string_view member) = nullptr;  // turns the member into text, if it is none yet
  std::string result;                                      // the file made of it, or the folder
  int64_t bytes = 0;                                       // of the file
  std::string sha256 = {};                                 // of the file; a folder carries its own sums
};

const std::vector<Source>& sources();

/// Brings a corpus into `folder` and returns the path to give to data.path. One that is there and intact is
/// left alone. An unknown name is a UsageError that lists the known ones.
std::filesystem::path get_source(const std::string& name, const std::filesystem::path& folder,
                                 const Progress& progress);
std::filesystem::path get_source(const Source& source, const std::filesystem::path& folder,
                                 const Progress& progress);

}  // namespace rmoe
