#include "data/shards/shard_file.hpp"

#include "data/shards/test_shards.hpp"
#include "tests/folder.hpp"
#include "tests/fuzz.hpp"
#include "tests/op_case.hpp"
#include "train/test_tools.hpp"

#include <doctest/doctest.h>

namespace rmoe::test {
namespace {

const std::vector<uint32_t> kTokens{1, 2, 9, 3, 9};
const std::vector<uint64_t> kEnds{3, 5};

std::vector<int32_t> read(const ShardFile& shard) { return shard.view().to_vector(); }

}  // namespace

TEST_CASE("shard: the bytes of a small one, as README.md describes them") {
  Sum tokenizer;
  for (size_t i = 0; i < tokenizer.size(); ++i) tokenizer[i] = uint8_t(i);
  const std::string bytes = shard_bytes(kTokens, kEnds, 10, tokenizer);
  REQUIRE(bytes.size() == 1024 + 24 + 16);
  CHECK(hex(bytes.substr(0, 40)) ==
        "524d4f4553485244"    // RMOESHRD
        "0100000004000000"    // version 1, 4 bytes a token
        "0500000000000000"    // tokens
        "0200000000000000"    // documents
        "0a00000000000000");  // vocabulary
  CHECK(hex(bytes.substr(40, 32)) == "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f");
  CHECK(hex(bytes.substr(72, 32)) == sha256(bytes.substr(1024)));
  CHECK(hex(bytes.substr(72, 32)) == "133fe6f5e496b0029a433e86a313ad2575620bdc0ac5b35c3e68026c8288924d");
  CHECK(bytes.substr(104, 24) == std::string(24, '\0'));
  CHECK(hex(bytes.substr(128, 32)) == sha256(bytes.substr(0, 128)));
  CHECK(bytes.substr(160, 864) == std::string(864, '\0'));
  CHECK(hex(bytes.substr(1024)) ==
        "0100000002000000090000000300000009000000"  // tokens
        "00000000"                                  // to a multiple of 8 bytes
        "03000000000000000500000000000000");        // where documents end
}

TEST_CASE("shard: ours, llm.c's and nanoGPT's are read") {
  const TestFolder folder;
  const ShardFile own(folder.write("a.bin", shard_bytes(kTokens, kEnds, 10)), 10);
  CHECK(read(own) == std::vector<int32_t>{1, 2, 9, 3, 9});
  CHECK(std::ranges::equal(own.document_ends(), kEnds));
  own.verify();
  const ShardFile narrow(
      folder.write("fineweb_train_000001.bin", llm_c_bytes(20240520, 1, {50256, 7, 65535})), 65536);
  CHECK(read(narrow) == std::vector<int32_t>{50256, 7, 65535});
  const ShardFile wide(folder.write("llama_val_000000.bin", llm_c_bytes(20240801, 7, {128000, 7})), 128256);
  CHECK(read(wide) == std::vector<int32_t>{128000, 7});
  CHECK(wide.document_ends().empty());
  const ShardFile raw(folder.write("val.bin", bytes_of(std::vector<uint16_t>{5, 65000, 3})), 65001);
  CHECK(read(raw) == std::vector<int32_t>{5, 65000, 3});
  raw.verify();
  CHECK(read(ShardFile(folder.write("train.bin", ""), 3)).empty());
}

TEST_CASE("shard: what is wrong with a file is said in one line") {
  const TestFolder folder;
  const std::string good = shard_bytes(kTokens, kEnds, 10);
  const auto error = [&](const std::string& name, const std::string& bytes) {
    const std::string path = folder.write(name, bytes);
    const std::string text = error_of([&] { ShardFile(path, 10).verify(); });
    const std::string before = "data: " + path;
    CHECK(text.starts_with(before));
    CHECK(text.find('\n') == text.npos);
    return text.substr(std::min(before.size(), text.size()));
  };
  CHECK(error("a.bin", good.substr(0, 500)) == " is cut off: 500 bytes, its header alone has 1024");
  CHECK(error("a.bin", good.substr(0, good.size() - 8)) == " is cut off: 1056 bytes, wanted 1064");
  CHECK(error("a.bin", good + "x") == " is damaged: 1065 bytes, wanted 1064");
  CHECK(error("a.bin", "X" + good.substr(1)).starts_with(" is no shard: it begins neither like one of rmoe"));
  std::string bad = good;
  bad[20] ^= 1;
  CHECK(error("a.bin", bad) == " is damaged: its header has a wrong checksum");
  bad = good;
  bad[1030] ^= 1;
  CHECK(error("a.bin", bad) == " is damaged: its tokens have a wrong checksum; prepare the folder again");
  CHECK(error("a.bin", shard_bytes({1, 2, 10}, {3}, 10)) ==
        ": token 2 is 10, which is not in the vocabulary of 10: the file is damaged, or belongs to another "
        "tokenizer");
  CHECK(error("a.bin", shard_bytes(kTokens, {4, 3}, 10)) ==
        " is damaged: a document ends at 3 of 5 tokens, after one that ends at 4");
  CHECK(error("a.bin", shard_bytes(kTokens, {4}, 10)) ==
        " is damaged: the last document ends at 4 of 5 tokens");
  CHECK(error("a.bin", shard_bytes(kTokens, kEnds, 11)) ==
        " is of a vocabulary of 11, the tokenizer beside it has 10");
  const std::string llm_c = llm_c_bytes(20240520, 1, {1, 2, 3});
  CHECK(error("a.bin", llm_c.substr(0, 1028)) ==
        " claims 3 tokens of 2 bytes, but has 1028 bytes, wanted 1030: it is cut off or damaged");
  CHECK(error("a.bin", llm_c_bytes(20240801, 1, {1})) == " is an llm.c file 20240801 of version 1, wanted 7");
  CHECK(error("train.bin", "abc") == " is cut off: 16-bit tokens in 3 bytes");
  CHECK(
      error_of([&] { ShardFile(folder / "none.bin", 1); }).ends_with("none.bin: No such file or directory"));
}

TEST_CASE("shard: damaged headers are refused or harmless") {
  const TestFolder folder;
  const auto counts = fuzz({shard_bytes(kTokens, kEnds, 10), llm_c_bytes(20240520, 1, {1, 2, 3}),
                            llm_c_bytes(20240801, 7, {1, 2, 3}), bytes_of(std::vector<uint16_t>{1, 2})},
                           3000, [&](const std::string& bytes) {
                             std::filesystem::remove(folder / "train.bin");  // ext4 waits for a file cut to 0
                             const ShardFile shard(folder.write("train.bin", bytes), 10);
                             shard.verify();
                             CHECK(shard.tokens() * 2 <= int64_t(bytes.size()));
                           });
  CHECK(counts.accepted > 0);
  CHECK(counts.refused > 1000);
}

}  // namespace rmoe::test
