// The text of one answer while it grows: bytes come in token by token, and what goes out is valid UTF-8 that
// no later token can take back. Held back are an unfinished character and what may become a stop string.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace rmoe::serve {

class TextStream {
 public:
  /// `before` is text that goes out first and in which no stop string is looked for. None of these may be
  /// empty.
  explicit TextStream(std::vector<std::string> stops, std::string before = {});

  /// False if this completes a stop string: the text then ends before it and takes nothing more.
  bool add(std::string_view bytes);
  /// Nothing more will come.
  void end() { ended_ = true; }
  /// What has become certain since the last call.
  std::string take();

 private:
  size_t certain() const;

  std::vector<std::string> stops_;
  std::string bytes_;
  size_t start_;  // of what stop strings are looked for in
  size_t taken_ = 0;
  bool ended_ = false;
};

}  // namespace rmoe::serve
