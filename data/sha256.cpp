#include "data/sha256.hpp"

#include "engine/error.hpp"

#include <cerrno>
#include <cstring>
#include <fmt/format.h>
#include <fstream>
#include <openssl/evp.h>
#include <vector>

namespace rmoe {

struct Sha256::State {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  ~State() { EVP_MD_CTX_free(context); }
};

Sha256::Sha256() : state_(std::make_unique<State>()) {
  RMOE_CHECK(state_->context && EVP_DigestInit_ex(state_->context, EVP_sha256(), nullptr) == 1,
             "sha256: OpenSSL offers none");
}

Sha256::~Sha256() = default;
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;

void Sha256::update(const void* data, size_t bytes) { EVP_DigestUpdate(state_->context, data, bytes); }

Sum Sha256::bytes() {
  Sum sum;
  EVP_DigestFinal_ex(state_->context, sum.data(), nullptr);
  return sum;
}

std::string to_hex(const Sum& sum) { return fmt::format("{:02x}", fmt::join(sum, "")); }

Sum sha256_bytes(std::string_view data) {
  Sha256 sum;
  sum.update(data.data(), data.size());
  return sum.bytes();
}

std::string sha256(std::string_view text) { return to_hex(sha256_bytes(text)); }

std::string sha256_file(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  RMOE_CHECK(in, "sha256: cannot read ", file.string(), ": ", std::strerror(errno));
  Sha256 sum;
  std::vector<char> block(1 << 20);
  while (in.read(block.data(), block.size()) || in.gcount() > 0) sum.update(block.data(), in.gcount());
  RMOE_CHECK(!in.bad(), "sha256: cannot read ", file.string(), ": ", std::strerror(errno));
  return sum.hex();
}

}  // namespace rmoe
