// SHA-256, as lower-case hexadecimal or as bytes.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

namespace rmoe {

using Sum = std::array<uint8_t, 32>;
std::string to_hex(const Sum& sum);

class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;
  void update(const void* data, size_t bytes);
  /// Ends the sum: no update may follow.
  Sum bytes();
  std::string hex() { return to_hex(bytes()); }

 private:
  struct State;
  std::unique_ptr<State> state_;
};

std::string sha256(std::string_view text);
Sum sha256_bytes(std::string_view data);
std::string sha256_file(const std::filesystem::path& file);

}  // namespace rmoe
