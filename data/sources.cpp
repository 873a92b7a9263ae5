#include "data/sources.hpp"

#include "data/archive.hpp"
#include "data/debian_texts.hpp"
#include "data/sha256.hpp"
#include "data/temporary_folder.hpp"
#include "engine/error.hpp"

#include <array>
#include <fcntl.h>
#include <fstream>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

namespace rmoe {
namespace {

namespace fs = std::filesystem;

constexpr const char* kSums = "SHA256SUMS";

void say(const Progress& progress, const std::string& line) {
  if (progress.say) progress.say(line);
}

/// Fetches a package with the sources and proxies this machine's apt-get is set up with; needs no rights.
bool apt_download(const std::string& package, const fs::path& to) {
  const TemporaryFolder folder(to.parent_path());
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addchdir_np(&actions, folder.path().c_str());
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  std::array<std::string, 3> words{"apt-get", "download", package};
  std::array<char*, 4> arguments{words[0].data(), words[1].data(), words[2].data(), nullptr};
  pid_t child;
  const int failed = posix_spawnp(&child, arguments[0], &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  int status = 0;
  if (failed || waitpid(child, &status, 0) != child || status != 0) return false;
  for (const auto& entry : fs::directory_iterator(folder.path())) {
    if (entry.path().extension() == ".deb") return fs::rename(entry.path(), to), true;
  }
  return false;
}

void obtain(const Source& source, const fs::path& archive, const Progress& progress) {
  say(progress, concat(source.name, ": fetching ", source.archive.urls.front()));
  try {
    download(source.archive, archive, progress);
  } catch (const Error&) {
    if (source.package.empty()) throw;
    say(progress, concat(source.name, ": trying apt-get download ", source.package));
    if (!apt_download(source.package, archive)) throw;
    fs::remove(archive.string() + ".part");
  }
}

bool is_folder(const Source& source) { return !source.members.empty(); }
bool is_archive(const Source& source) { return !source.archive_name.empty(); }

bool has_its_sums(const Source& source, const fs::path& folder) {
  std::ifstream sums(folder / kSums);
  std::string sum, file;
  size_t found = 0;
  for (; sums >> sum >> file; ++found) {
    if (!fs::is_regular_file(folder / file) || sha256_file(folder / file) != sum) return false;
  }
  return found == source.members.size();
}

bool is_there(const Source& source, const fs::path& result) {
  if (is_folder(source)) return has_its_sums(source, result);
  return is_archive(source) ? is_intact(result, source.bytes, source.sha256)
                            : is_intact(result, source.archive.bytes, source.archive.sha256);
}

void unpack_folder(const Source& source, const fs::path& archive, const fs::path& result) {
  const TemporaryFolder work(result.parent_path());
  const fs::path folder = work.path() / "splits";
  fs::create_directory(folder);
  std::ofstream sums(folder / kSums);
  for (const auto& [name, file] : source.members) {
    unpack_member(archive, name, folder / file);
    sums << sha256_file(folder / file) << "  " << file << "\n";
  }
  sums.close();
  RMOE_CHECK(sums, source.name, ": cannot write ", (folder / kSums).string());
  fs::remove_all(result);
  fs::rename(folder, result);
}

void unpack_file(const Source& source, const fs::path& archive, const fs::path& result) {
  const TemporaryFolder work(result.parent_path());
  const fs::path file = work.path() / "text";
  if (source.read) {
    const std::string text = source.read(read_member(archive, source.member));
    std::ofstream out(file, std::ios::binary);
    out << text;
    out.close();
    RMOE_CHECK(out, source.name, ": cannot write ", file.string(), ": is the disk full?");
  } else {
    unpack_member(archive, source.member, file);
  }
  const std::string sum = sha256_file(file);
  RMOE_CHECK(sum == source.sha256, source.name, ": the text in ", archive.string(),
             " is not the known one: sha256 ", sum, ", wanted ", source.sha256);
  fs::rename(file, result);
}

}  // namespace

fs::path get_source(const Source& source, const fs::path& folder, const Progress& progress) {
  fs::create_directories(folder);
  const fs::path result = folder / source.result;
  const fs::path archive = is_archive(source) ? folder / source.archive_name : result;
  if (is_there(source, result)) {
    say(progress, concat(source.name, ": ", result.string(), " is there and intact"));
    return result;
  }
  obtain(source, archive, progress);
  if (is_archive(source)) {
    say(progress, concat(source.name, ": unpacking ", archive.string()));
    is_folder(source) ? unpack_folder(source, archive, result) : unpack_file(source, archive, result);
    fs::remove(archive);
  }
  say(progress, concat(source.name, ": ", result.string(), " is ready"));
  return result;
}

fs::path get_source(const std::string& name, const fs::path& folder, const Progress& progress) {
  std::string known;
  for (const Source& source : sources()) {
    if (source.name == name) return get_source(source, folder, progress);
    known += (known.empty() ? "" : ", ") + source.name;
  }
  throw UsageError(concat("data get: no corpus is called ", name, ": there are ", known));
}

}  // namespace rmoe
