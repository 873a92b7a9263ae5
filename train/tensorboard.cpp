#include "train/tensorboard.hpp"

#include "engine/error.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <chrono>
#include <cmath>
#include <numeric>
#include <unistd.h>

namespace rmoe {
namespace {

// Protobuf: a field is a varint of (number << 3 | wire type) and its value.
enum WireType { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

std::string varint(uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7) bytes += static_cast<char>(value | 0x80);
  return bytes += static_cast<char>(value);
}

template <class T>
std::string fixed(T value) {
  static_assert(std::endian::native == std::endian::little);
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

std::string key(int number, WireType type) { return varint(uint64_t(number) << 3 | type); }
std::string whole(int number, int64_t value) { return key(number, kVarint) + varint(uint64_t(value)); }
std::string real(int number, double value) { return key(number, kFixed64) + fixed(value); }
std::string bytes(int number, std::string_view value) {
  return key(number, kBytes) + varint(value.size()) + std::string(value);
}
std::string packed(int number, const std::vector<double>& values) {
  std::string all;
  for (const double value : values) all += fixed(value);
  return bytes(number, all);
}

std::string event(double wall_time, int64_t step, const std::string& what) {
  return real(1, wall_time) + whole(2, step) + what;
}

std::string summary(std::string_view tag, const std::string& value) {
  return bytes(5, bytes(1, bytes(1, tag) + value));
}

double now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

/// A name TensorBoard recognises, new on this machine even if a run resumes within the same second.
std::string file_name() {
  static std::atomic<int> count = 0;
  char host[256] = "host";
  gethostname(host, sizeof host - 1);
  return concat("events.out.tfevents.", int64_t(now()), ".", host, ".", getpid(), ".", count++);
}

constexpr std::array<uint32_t, 256> kCrcTable = [] {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);  // Castagnoli, reflected
    table[i] = crc;
  }
  return table;
}();

std::string masked_crc(std::string_view bytes) {
  return fixed(std::rotr(tensorboard::crc32c(bytes), 15) + 0xa282ead8u);
}

}  // namespace

namespace tensorboard {

uint32_t crc32c(std::string_view bytes) {
  uint32_t crc = ~0u;
  for (const unsigned char byte : bytes) crc = crc >> 8 ^ kCrcTable[(crc ^ byte) & 0xff];
  return ~crc;
}

std::string record(std::string_view event) {
  const std::string length = fixed(uint64_t(event.size()));
  return length + masked_crc(length) + std::string(event) + masked_crc(event);
}

std::string version_event(double wall_time) { return real(1, wall_time) + bytes(3, "brain.Event:2"); }

std::string start_event(double wall_time, int64_t step) {
  return event(wall_time, step, bytes(7, whole(1, 1)));  // session_log { status: START }
}

std::string scalar_event(double wall_time, int64_t step, std::string_view tag, double value) {
  return event(wall_time, step, summary(tag, key(2, kFixed32) + fixed(static_cast<float>(value))));
}

std::string histogram_event(double wall_time, int64_t step, std::string_view tag, const Histogram& h) {
  const std::string proto = real(1, h.min) + real(2, h.max) + real(3, h.count) + real(4, h.sum) +
                            real(5, h.sum_squares) + packed(6, h.limits) + packed(7, h.counts);
  return event(wall_time, step, summary(tag, bytes(5, proto)));
}

}  // namespace tensorboard

Histogram histogram_of(std::span<const double> values, int buckets) {
  std::vector<double> finite;
  std::ranges::copy_if(values, std::back_inserter(finite), [](double x) { return std::isfinite(x); });
  Histogram h;
  if (finite.empty()) return h;
  const auto [min, max] = std::ranges::minmax(finite);
  h.min = min;
  h.max = max;
  h.count = double(finite.size());
  if (min == max) buckets = 1;
  for (int i = 1; i < buckets; ++i) h.limits.push_back(min + (max - min) * i / buckets);
  h.limits.push_back(max);
  h.counts.assign(size_t(buckets), 0);
  for (const double x : finite) {
    h.sum += x;
    h.sum_squares += x * x;
    ++h.counts[size_t(std::ranges::lower_bound(h.limits, x) -
                      h.limits.begin())];  // limits[i-1] < x <= limits[i]
  }
  return h;
}

Histogram bars_of(std::span<const double> heights) {
  Histogram h;
  h.max = double(heights.size());
  h.counts.assign(heights.begin(), heights.end());
  for (size_t i = 0; i < heights.size(); ++i) {
    const double middle = double(i) + 0.5;
    h.limits.push_back(double(i + 1));
    h.count += heights[i];
    h.sum += heights[i] * middle;
    h.sum_squares += heights[i] * middle * middle;
  }
  return h;
}

EventWriter::EventWriter(const files::Path& folder, std::optional<int64_t> resumed_at)
    : file_((files::make_folder(folder), folder / file_name())) {
  file_.write(tensorboard::record(tensorboard::version_event(now())));
  if (resumed_at) file_.write(tensorboard::record(tensorboard::start_event(now(), *resumed_at + 1)));
}

void EventWriter::scalar(int64_t step, std::string_view tag, double value) {
  file_.write(tensorboard::record(tensorboard::scalar_event(now(), step, tag, value)));
}

void EventWriter::histogram(int64_t step, std::string_view tag, const Histogram& histogram) {
  file_.write(tensorboard::record(tensorboard::histogram_event(now(), step, tag, histogram)));
}

}  // namespace rmoe
