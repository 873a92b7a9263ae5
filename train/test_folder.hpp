// A folder for one test, removed afterwards.
#pragma once

#include "train/files.hpp"

#include <cstdlib>

namespace rmoe::test {

class Folder {
 public:
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "rmoe-test-XXXXXX").string();
    path = mkdtemp(name.data());
  }
  ~Folder() { std::filesystem::remove_all(path); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  files::Path path;
};

}  // namespace rmoe::test
