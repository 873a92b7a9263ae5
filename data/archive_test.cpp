#include "data/archive.hpp"

#include "data/temporary_folder.hpp"
#include "data/test_archive.hpp"
#include "tests/op_case.hpp"

#include <doctest/doctest.h>

namespace rmoe::test {
namespace {

namespace fs = std::filesystem;

const std::string kBig(3'000'000, 'z');  // more than one block
const std::vector<Member> kMembers{
    {"./", "", AE_IFDIR}, {"./top.txt", "top"}, {"./a/", "", AE_IFDIR}, {"./a/big", kBig}, {"./a/empty", ""}};

void check_contents(const fs::path& archive, const fs::path& folder) {
  CHECK(unpack(archive, folder).size() == 3);
  CHECK(content_of(folder / "top.txt") == "top");
  CHECK(content_of(folder / "a" / "big") == kBig);
  CHECK(fs::file_size(folder / "a" / "empty") == 0);
  CHECK(read_member(archive, "a/big") == kBig);
  unpack_member(archive, "top.txt", folder / "elsewhere" / "renamed");
  CHECK(content_of(folder / "elsewhere" / "renamed") == "top");
}

}  // namespace

TEST_CASE("archive: zip, tar.* and deb unpack alike, whole or one member") {
  const TemporaryFolder folder;
  const fs::path at = folder.path();
  write_archive(at / "x.zip", kMembers, archive_write_set_format_zip);
  check_contents(at / "x.zip", at / "zip");
  write_archive(at / "x.tar.gz", kMembers, archive_write_set_format_pax_restricted,
                archive_write_add_filter_gzip);
  check_contents(at / "x.tar.gz", at / "tar");
  write_deb(at / "x.deb", kMembers);
  check_contents(at / "x.deb", at / "deb");
}

TEST_CASE("archive: nothing lands outside the folder") {
  const TemporaryFolder folder;
  const fs::path file = folder.path() / "bad.tar", inside = folder.path() / "in" / "side";
  const auto error = [&](Member member) {
    write_archive(file, {member}, archive_write_set_format_gnutar);
    return error_of([&] { unpack(file, inside); });
  };
  const std::string name = "archive: " + file.string();
  CHECK(error({"../escaped", "x"}) == name + " has the member ../escaped, which leads out of its folder");
  CHECK(error({"a/../../escaped", "x"}) ==
        name + " has the member a/../../escaped, which leads out of its folder");
  CHECK(error({"/escaped", "x"}) == name + " has the member /escaped, which leads out of its folder");
  CHECK(error({"link", "/etc", AE_IFLNK}) ==
        name + " has the member link, which is neither a file nor a folder");
  CHECK_FALSE(fs::exists(folder.path() / "in" / "escaped"));
  CHECK_FALSE(fs::exists(folder.path() / "escaped"));
}

TEST_CASE("archive: errors name the file") {
  const TemporaryFolder folder;
  const fs::path none = folder.path() / "none", text = folder.path() / "text",
                 cut = folder.path() / "cut.tar.gz";
  CHECK(error_of([&] { unpack(none, folder.path()); }).starts_with("archive: " + none.string() + ": "));
  std::ofstream(text) << "no archive at all";
  CHECK(error_of([&] { unpack(text, folder.path()); }).starts_with("archive: " + text.string() + ": "));
  write_archive(cut, {{"a", kBig + "tail"}}, archive_write_set_format_gnutar, archive_write_add_filter_gzip);
  CHECK(error_of([&] { read_member(cut, "b"); }) == "archive: " + cut.string() + " has no file b");
  fs::resize_file(cut, fs::file_size(cut) / 2);
  CHECK(error_of([&] { read_member(cut, "a"); }).starts_with("archive: " + cut.string() + ": "));
}

}  // namespace rmoe::test
