#include "train/report/labels.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace rmoe::report {
namespace {

/// Bytes of the UTF-8 character at the front; a stray byte counts as one.
size_t character_bytes(std::string_view text) {
  size_t n = 1;
  while (n < text.size() && (static_cast<unsigned char>(text[n]) & 0xC0) == 0x80) ++n;
  return n;
}

/// In units of the font size.
double character_width(std::string_view character) {
  if (character.size() >= 3)
    return character.size() == 3 && character < "\xE2\xBA\x80" ? 0.65 : 1;  // from CJK on
  if (character.size() == 2) return 0.65;
  const char c = character[0];
  if (std::string_view("ijl|'").find(c) != std::string_view::npos) return 0.3;
  if (std::string_view(" .,:;!Ift()[]-/r").find(c) != std::string_view::npos) return 0.4;
  if (std::string_view("mwMW@%").find(c) != std::string_view::npos) return 0.97;
  if (c >= 'A' && c <= 'Z') return 0.71;
  return 0.63;
}

}  // namespace

double text_width(std::string_view text, double size) {
  double width = 0;
  while (!text.empty()) {
    const size_t n = character_bytes(text);
    width += character_width(text.substr(0, n));
    text.remove_prefix(n);
  }
  return width * size;
}

std::string shortened(std::string_view text, double size, double width) {
  if (text_width(text, size) <= width) return std::string(text);
  const std::string ellipsis = "…";
  const double room = width - text_width(ellipsis, size);
  size_t kept = 0;
  while (true) {
    const size_t next = kept + character_bytes(text.substr(kept));
    if (text_width(text.substr(0, next), size) > room) return std::string(text.substr(0, kept)) + ellipsis;
    kept = next;
  }
}

std::vector<std::string> wrapped(std::string_view text, double size, double width) {
  std::vector<std::string> lines;
  while (!text.empty()) {
    const size_t end = std::min(text.find(' '), text.size());
    const std::string word(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (word.empty()) continue;
    if (!lines.empty() && text_width(lines.back() + " " + word, size) <= width)
      lines.back() += " " + word;
    else
      lines.push_back(shortened(word, size, width));
  }
  return lines;
}

std::vector<double> spread_out(const std::vector<double>& wanted, double gap, double low, double high) {
  const size_t n = wanted.size();
  if (n > 1) gap = std::min(gap, (high - low) / double(n - 1));
  std::vector<size_t> order(n);
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::stable_sort(order, {}, [&](size_t i) { return wanted[i]; });

  // With i gaps taken off the i-th place the task is the nearest rising sequence, which pooling adjacent
  // violators solves exactly; clamping it keeps it nearest.
  struct Pool {
    double sum;
    size_t count;
    double mean() const { return sum / double(count); }
  };
  std::vector<Pool> pools;
  for (size_t i = 0; i < n; ++i) {
    pools.push_back({wanted[order[i]] - gap * double(i), 1});
    while (pools.size() > 1 && pools[pools.size() - 2].mean() > pools.back().mean()) {
      const Pool last = pools.back();
      pools.pop_back();
      pools.back() = {pools.back().sum + last.sum, pools.back().count + last.count};
    }
  }
  std::vector<double> placed(n);
  size_t i = 0;
  for (const Pool& pool : pools)
    for (size_t k = 0; k < pool.count; ++k, ++i) {
      const double last_start = std::max(low, high - gap * double(n - 1));  // rounding must not cross them
      placed[order[i]] = std::clamp(pool.mean(), low, last_start) + gap * double(i);
    }
  return placed;
}

}  // namespace rmoe::report
