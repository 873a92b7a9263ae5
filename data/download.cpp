#include "data/download.hpp"

#include "data/sha256.hpp"
#include "engine/error.hpp"

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <curl/curl.h>
#include <limits>
#include <memory>

namespace rmoe {
namespace {

namespace fs = std::filesystem;

constexpr long kConnectSeconds = 20, kStalledSeconds = 60;

int64_t size_or_zero(const fs::path& file) {
  std::error_code missing;
  const auto size = fs::file_size(file, missing);
  return missing ? 0 : int64_t(size);
}

struct Transfer {
  std::FILE* file;
  int64_t have, limit;  // bytes in the file, and the most there may be
  std::string name;
  const Progress& progress;
  bool too_long = false;
};

/// Taking less than was offered makes curl stop.
size_t take(char* data, size_t, size_t count, void* self) {
  auto& transfer = *static_cast<Transfer*>(self);
  transfer.too_long = transfer.have + int64_t(count) > transfer.limit;
  if (transfer.too_long) return 0;
  const size_t written = std::fwrite(data, 1, count, transfer.file);
  transfer.have += int64_t(written);
  return written;
}

int report(void* self, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  const auto& transfer = *static_cast<Transfer*>(self);
  const bool sized = transfer.limit < std::numeric_limits<int64_t>::max();
  if (transfer.progress.bytes)
    transfer.progress.bytes(transfer.name, transfer.have, sized ? transfer.limit : transfer.have);
  return 0;
}

CURLcode perform(const std::string& url, Transfer& transfer, std::string& problem) {
  const std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> curl(curl_easy_init(), &curl_easy_cleanup);
  RMOE_CHECK(curl, "download: libcurl does not start");
  std::array<char, CURL_ERROR_SIZE> text{};
  curl_easy_setopt(curl.get(), CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl.get(), CURLOPT_USERAGENT, "rmoe");
  curl_easy_setopt(curl.get(), CURLOPT_FOLLOWLOCATION, 1L);
  curl_easy_setopt(curl.get(), CURLOPT_FAILONERROR, 1L);
  curl_easy_setopt(curl.get(), CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl.get(), CURLOPT_CONNECTTIMEOUT, kConnectSeconds);
  curl_easy_setopt(curl.get(), CURLOPT_LOW_SPEED_LIMIT, 1L);
  curl_easy_setopt(curl.get(), CURLOPT_LOW_SPEED_TIME, kStalledSeconds);
  curl_easy_setopt(curl.get(), CURLOPT_RESUME_FROM_LARGE, curl_off_t{transfer.have});
  curl_easy_setopt(curl.get(), CURLOPT_WRITEFUNCTION, take);
  curl_easy_setopt(curl.get(), CURLOPT_WRITEDATA, &transfer);
  curl_easy_setopt(curl.get(), CURLOPT_NOPROGRESS, 0L);
  curl_easy_setopt(curl.get(), CURLOPT_XFERINFOFUNCTION, report);
  curl_easy_setopt(curl.get(), CURLOPT_XFERINFODATA, &transfer);
  curl_easy_setopt(curl.get(), CURLOPT_ERRORBUFFER, text.data());
  const CURLcode code = curl_easy_perform(curl.get());
  if (code != CURLE_OK) problem = text[0] ? text.data() : curl_easy_strerror(code);
  return code;
}

/// Adds to `part` what is missing of it; says what went wrong, or nothing.
std::string fetch(const std::string& url, const Download& wanted, const fs::path& part,
                  const Progress& progress) {
  int64_t have = size_or_zero(part);
  const bool sized = wanted.bytes > 0;
  if (sized ? have == wanted.bytes : have > 0 && sha256_file(part) == wanted.sha256) return {};
  if (sized && have > wanted.bytes) fs::remove(part), have = 0;

  const std::unique_ptr<std::FILE, decltype(&std::fclose)> file(std::fopen(part.c_str(), "ab"), &std::fclose);
  RMOE_CHECK(file, "download: cannot write ", part.string(), ": ", std::strerror(errno));
  Transfer transfer{file.get(), have, sized ? wanted.bytes : std::numeric_limits<int64_t>::max(),
                    part.stem().string(), progress};
  std::string problem;
  const CURLcode code = perform(url, transfer, problem);
  const bool stopped = code == CURLE_WRITE_ERROR && !transfer.too_long;
  RMOE_CHECK(std::fflush(file.get()) == 0 && !stopped, "download: cannot write ", part.string(),
             ": is the disk full?");
  if (code == CURLE_RANGE_ERROR) {  // this server cannot continue a file: take it whole
    fs::remove(part);
    return fetch(url, wanted, part, progress);
  }
  const bool too_short = code == CURLE_OK && transfer.have < wanted.bytes;
  if (transfer.too_long || too_short) {
    fs::remove(part);
    return concat("the file there has ", too_short ? "" : "more than ",
                  too_short ? transfer.have : wanted.bytes, " bytes, wanted ", wanted.bytes);
  }
  return problem;
}

/// As fetch, and tries again as long as every try brings the end nearer; then checks the sum.
std::string fetch_whole(const std::string& url, const Download& wanted, const fs::path& part,
                        const Progress& progress) {
  std::string problem;
  int64_t before;
  do {
    before = size_or_zero(part);
    problem = fetch(url, wanted, part, progress);
  } while (!problem.empty() && size_or_zero(part) > before);
  if (!problem.empty()) return problem;
  const std::string sum = sha256_file(part);
  if (sum == wanted.sha256) return {};
  fs::remove(part);
  return concat("sha256 is ", sum, ", wanted ", wanted.sha256, ": thrown away");
}

}  // namespace

bool is_intact(const fs::path& file, int64_t bytes, const std::string& sha256) {
  return fs::is_regular_file(file) && (bytes == 0 || int64_t(fs::file_size(file)) == bytes) &&
         sha256_file(file) == sha256;
}

void download(const Download& wanted, const fs::path& file, const Progress& progress) {
  if (is_intact(file, wanted.bytes, wanted.sha256)) return;
  if (file.has_parent_path()) fs::create_directories(file.parent_path());
  fs::path part = file;
  part += ".part";
  std::string problems;
  for (const std::string& url : wanted.urls) {
    const std::string problem = fetch_whole(url, wanted, part, progress);
    if (problem.empty()) return fs::rename(part, file);
    problems += concat(url, ": ", problem, "; ");
  }
  if (size_or_zero(part) == 0) fs::remove(part);
  fail("download: ", problems, "run this again to continue, or get the file by hand and put it at ",
       file.string());
}

}  // namespace rmoe
