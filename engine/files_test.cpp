#include "engine/files.hpp"

#include "engine/error.hpp"
#include "tests/folder.hpp"
#include "tests/op_case.hpp"

#include <doctest/doctest.h>

namespace rmoe::test {

namespace fs = std::filesystem;

namespace {
struct Stop {};
}  // namespace

TEST_CASE("files: what is written is read back, with its checksum") {
  const TestFolder folder;
  const fs::path path = folder / "a";
  files::Writer writer(path);
  writer.write("123");
  writer.write("456789");
  writer.sync();
  CHECK(files::read(path) == "123456789");
  CHECK(writer.crc32() == 0xcbf43926u);  // the check value of this CRC
  CHECK(files::crc32_of(path) == 0xcbf43926u);
  CHECK(files::crc32_of(std::string_view("123456789")) == 0xcbf43926u);
  files::Writer(path, files::Writer::Mode::append).write("0");
  CHECK(files::read(path) == "1234567890");
}

TEST_CASE("files: a file is cut and written on, and its front written anew") {
  const TestFolder folder;
  const fs::path path = folder / "a";
  files::replace(path, "headtail and more");
  files::Writer writer(path, files::Writer::Mode::update);
  writer.cut(8);
  writer.write("s");
  writer.seek(0);
  writer.write("HEAD");
  CHECK(files::read(path) == "HEADtails");
}

TEST_CASE("files: a reader leaves out bytes, but none that are not there") {
  const TestFolder folder;
  files::replace(folder / "a", "abcdef");
  files::Reader reader(folder / "a");
  std::string two(2, ' ');
  reader.read(two.data(), 1);
  reader.skip(2);
  reader.read(two.data(), 2);
  CHECK(two == "de");
  CHECK_THROWS_WITH_AS(
      reader.skip(2),
      concat("cannot read ", (folder / "a").string(), ": it has 6 bytes, wanted one at 7").c_str(), Error);
}

TEST_CASE("files: a file larger than a piece keeps its checksum") {
  const TestFolder folder;
  std::string bytes((1 << 20) + 17, 'x');
  bytes[1 << 20] = 'y';
  files::replace(folder / "a", bytes);
  CHECK(files::crc32_of(folder / "a") == files::crc32_of(std::string_view(bytes)));
}

TEST_CASE("files: a replaced file is the old one until the new one is complete") {
  const TestFolder folder;
  const fs::path path = folder / "a";
  files::replace(path, "old");
  int operations = 0;
  files::set_observer([&](const char*, const fs::path&) { ++operations; });
  files::replace(path, "new");
  for (int stop = 0; stop < operations; ++stop) {
    files::set_observer({});
    files::replace(path, "old");
    files::set_observer([left = stop](const char*, const fs::path&) mutable {
      if (left-- == 0) throw Stop{};
    });
    CHECK_THROWS_AS(files::replace(path, "new"), Stop);
    const std::string text = files::read(path);
    CHECK((text == "old" || text == "new"));
  }
  files::set_observer({});
  files::replace(path, "new");  // over the temporary file that was left
  CHECK(files::read(path) == "new");
  CHECK(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()) == 1);
}

TEST_CASE("files: a link is moved, never missing") {
  const TestFolder folder;
  const fs::path link = folder / "latest";
  files::replace_link(link, "step-1");
  CHECK(fs::read_symlink(link) == "step-1");
  files::replace_link(link, "step-2");
  CHECK(fs::read_symlink(link) == "step-2");
}

TEST_CASE("files: errors name the file and the reason in one line") {
  const TestFolder folder;
  const std::string at = folder.path().string();
  CHECK(error_of([&] { files::read(folder / "none"); }) ==
        "cannot read " + at + "/none: No such file or directory");
  CHECK(error_of([&] { files::read(folder.path()); }) == "cannot read " + at + ": Is a directory");
  CHECK(error_of([&] { files::replace(folder / "no/such", "x"); }) ==
        "cannot write " + at + "/no/.tmp-such: No such file or directory");
  CHECK(error_of([&] { files::Writer("/dev/full").write("x"); }) ==
        "cannot write /dev/full: No space left on device (free some space and try again)");
  files::replace(folder / "short", "x");
  files::Reader reader(folder / "short");
  char two[2];
  CHECK(error_of([&] { reader.read(two, 2); }) == "cannot read " + at + "/short: it ends 1 bytes too early");
}

}  // namespace rmoe::test
