#include "data/download.hpp"

#include "data/sha256.hpp"
#include "data/temporary_folder.hpp"
#include "data/test_archive.hpp"
#include "data/test_server.hpp"
#include "tests/op_case.hpp"

#include <doctest/doctest.h>
#include <fstream>

namespace rmoe::test {
namespace {

namespace fs = std::filesystem;

void write(const fs::path& file, const std::string& text) { std::ofstream(file, std::ios::binary) << text; }

std::string some_bytes(int64_t n) {
  std::string text;
  for (int64_t i = 0; i < n; ++i) text += char('a' + i * i % 23);
  return text;
}

struct Setting {
  std::string content = some_bytes(100'000);
  FileServer server{content};
  TemporaryFolder folder;
  fs::path file = folder.path() / "deep" / "file", part = folder.path() / "deep" / "file.part";
  Download wanted{{server.url()}, int64_t(content.size()), sha256(content)};

  std::string error() {
    return error_of([&] { download(wanted, file, {}); });
  }
};

}  // namespace

TEST_CASE("download: a whole file, with progress, and not a second time") {
  Setting s;
  int64_t last = 0;
  const Progress progress{{}, [&](const std::string& what, int64_t done, int64_t total) {
                            CHECK(what == "file");
                            CHECK(done >= last);
                            CHECK(total == 100'000);
                            last = done;
                          }};
  download(s.wanted, s.file, progress);
  CHECK(last == 100'000);
  CHECK(content_of(s.file) == s.content);
  CHECK_FALSE(fs::exists(s.part));
  download(s.wanted, s.file, progress);
  CHECK(s.server.starts == std::vector<int64_t>{0});
  write(s.file, "damaged");
  download(s.wanted, s.file, {});
  CHECK(content_of(s.file) == s.content);
}

TEST_CASE("download: what broke off is continued where it stopped") {
  Setting s;
  s.server.stop_after = 40'000;
  download(s.wanted, s.file, {});
  CHECK(content_of(s.file) == s.content);
  CHECK(s.server.starts == std::vector<int64_t>{0, 40'000, 80'000});
}

TEST_CASE("download: a later run continues an earlier one") {
  Setting s;
  fs::create_directories(s.part.parent_path());
  write(s.part, s.content.substr(0, 70'000));
  s.server.stop_after = 0;
  CHECK(s.error().find("run this again to continue, or get the file by hand and put it at " +
                       s.file.string()) != std::string::npos);
  CHECK(fs::file_size(s.part) == 70'000);
  s.server.stop_after = -1;
  s.server.starts.clear();
  download(s.wanted, s.file, {});
  CHECK(content_of(s.file) == s.content);
  CHECK(s.server.starts == std::vector<int64_t>{70'000});
}

TEST_CASE("download: a part that is whole is only checked; one that is too long is dropped") {
  Setting s;
  fs::create_directories(s.part.parent_path());
  write(s.part, s.content);
  download(s.wanted, s.file, {});
  CHECK(s.server.starts.empty());
  fs::remove(s.file);
  write(s.part, s.content + "!");
  download(s.wanted, s.file, {});
  CHECK(s.server.starts == std::vector<int64_t>{0});
}

TEST_CASE("download: a server that cannot continue a file sends it whole") {
  Setting s;
  fs::create_directories(s.part.parent_path());
  write(s.part, s.content.substr(0, 70'000));
  s.server.ranges = false;
  download(s.wanted, s.file, {});
  CHECK(content_of(s.file) == s.content);
}

TEST_CASE("download: wrong size, wrong sum, no such file, no server") {
  Setting s;
  const std::string cure =
      "; run this again to continue, or get the file by hand and put it at " + s.file.string();
  s.wanted.bytes = 99'999;
  CHECK(s.error() ==
        "download: " + s.server.url() + ": the file there has more than 99999 bytes, wanted 99999" + cure);
  s.wanted.bytes = 100'001;
  CHECK(s.error() ==
        "download: " + s.server.url() + ": the file there has 100000 bytes, wanted 100001" + cure);
  s.wanted.bytes = 100'000;
  const std::string good = s.wanted.sha256, bad(64, '0');
  s.wanted.sha256 = bad;
  CHECK(s.error() ==
        "download: " + s.server.url() + ": sha256 is " + good + ", wanted " + bad + ": thrown away" + cure);
  CHECK_FALSE(fs::exists(s.part));
  CHECK_FALSE(fs::exists(s.file));
  s.wanted.urls = {s.server.url("/missing"), "http://127.0.0.1:1/file"};
  const std::string error = s.error();
  CHECK(
      error.starts_with("download: " + s.server.url("/missing") + ": The requested URL returned error: 404"));
  CHECK(error.find("http://127.0.0.1:1/file: Failed to connect") != std::string::npos);
  CHECK(error.find('\n') == std::string::npos);
  CHECK(fs::is_empty(s.file.parent_path()));  // not even an empty part is left
}

TEST_CASE("download: the next mirror takes over") {
  Setting s;
  s.wanted.urls = {s.server.url("/missing"), s.server.url()};
  s.wanted.sha256 = sha256(s.content);
  download(s.wanted, s.file, {});
  CHECK(content_of(s.file) == s.content);
}

}  // namespace rmoe::test
