#include "train/serve/text_stream.hpp"

#include "train/serve/utf8.hpp"

#include <algorithm>

namespace rmoe::serve {

TextStream::TextStream(std::vector<std::string> stops, std::string before)
    : stops_(std::move(stops)), bytes_(std::move(before)), start_(bytes_.size()) {}

bool TextStream::add(std::string_view bytes) {
  if (ended_) return false;
  const size_t old = bytes_.size();
  bytes_ += bytes;
  size_t cut = bytes_.npos;
  for (const std::string& stop : stops_)
    cut = std::min(cut, bytes_.find(stop, old - std::min(old - start_, stop.size() - 1)));
  if (cut == bytes_.npos) return true;
  bytes_.resize(cut);
  ended_ = true;
  return false;
}

size_t TextStream::certain() const {
  if (ended_) return bytes_.size();
  size_t held = 0;  // longest end of the text that begins a stop string
  for (const std::string& stop : stops_) {
    size_t n = std::min(stop.size() - 1, bytes_.size() - start_);
    while (n > held && !std::string_view(bytes_).ends_with(std::string_view(stop).substr(0, n))) --n;
    held = std::max(held, n);
  }
  return complete_prefix(std::string_view(bytes_).substr(0, bytes_.size() - held));
}

std::string TextStream::take() {
  const size_t end = std::max(certain(), taken_);
  const std::string text = repaired(std::string_view(bytes_).substr(taken_, end - taken_));
  taken_ = end;
  return text;
}

}  // namespace rmoe::serve
