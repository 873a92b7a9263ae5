// Shards written by hand, for tests.
#pragma once

#include "data/sha256.hpp"
#include "data/shards/shard_file.hpp"
#include "engine/files.hpp"

namespace rmoe::test {

template <class T>
std::string bytes_of(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

/// A shard of our own with these tokens and document ends.
inline std::string shard_bytes(const std::vector<uint32_t>& tokens, const std::vector<uint64_t>& ends,
                               int64_t vocabulary, const Sum& tokenizer = {}) {
  std::string payload = bytes_of(tokens);
  payload.resize((payload.size() + 7) / 8 * 8);
  payload += bytes_of(ends);
  ShardHeader header;
  header.tokens = int64_t(tokens.size());
  header.documents = int64_t(ends.size());
  header.vocabulary = vocabulary;
  header.tokenizer = tokenizer;
  header.payload = sha256_bytes(payload);
  const auto front = header.to_bytes();
  return std::string(front.begin(), front.end()) + payload;
}

/// A file of llm.c: 20240520 holds 16 bits a token, 20240801 holds 32.
inline std::string llm_c_bytes(int32_t magic, int32_t version, const std::vector<uint32_t>& tokens) {
  std::vector<int32_t> header(256);
  header[0] = magic;
  header[1] = version;
  header[2] = int32_t(tokens.size());
  const std::vector<uint16_t> narrow(tokens.begin(), tokens.end());
  return bytes_of(header) + (magic == 20240520 ? bytes_of(narrow) : bytes_of(tokens));
}

}  // namespace rmoe::test
