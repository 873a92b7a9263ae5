#include "data/shards/shard_file.hpp"

#include "data/sha256.hpp"
#include "engine/error.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

namespace rmoe {
namespace {

static_assert(std::endian::native == std::endian::little, "shards are little-endian and mapped as they are");

constexpr char kMagic[8] = {'R', 'M', 'O', 'E', 'S', 'H', 'R', 'D'};
constexpr uint32_t kVersion = 1, kWidth = 4;
constexpr int32_t kLlmC16 = 20240520, kLlmC32 = 20240801;
constexpr int64_t kMostTokens = int64_t{1}
                                << 48;  // a header that claims more lies: sizes stay far from overflow

/// The first 128 bytes of a shard, as they lie in the file; zeros fill the rest of the header.
struct RawHeader {
  char magic[8];
  uint32_t version, width;
  uint64_t tokens, documents, vocabulary;
  Sum tokenizer, payload;
  uint8_t unused[24];
};
static_assert(sizeof(RawHeader) == 128);
constexpr int64_t kHeaderSumAt = 128;  // SHA-256 of the 128 bytes before

int64_t ends_at(int64_t tokens) { return ShardHeader::kBytes + (tokens * kWidth + 7) / 8 * 8; }

template <class T>
T read_at(std::span<const std::byte> bytes, size_t offset) {
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

Sum sum_of(const void* data, size_t bytes) { return sha256_bytes({static_cast<const char*>(data), bytes}); }

bool is_raw_name(const std::string& name) {
  return name == "train.bin" || name == "val.bin" || name == "valid.bin" || name == "test.bin";
}

}  // namespace

std::array<uint8_t, ShardHeader::kBytes> ShardHeader::to_bytes() const {
  RawHeader raw{{},        kVersion, kWidth, uint64_t(tokens), uint64_t(documents), uint64_t(vocabulary),
                tokenizer, payload,  {}};
  std::memcpy(raw.magic, kMagic, sizeof kMagic);
  std::array<uint8_t, kBytes> bytes{};
  std::memcpy(bytes.data(), &raw, sizeof raw);
  const Sum sum = sum_of(bytes.data(), size_t(kHeaderSumAt));
  std::memcpy(bytes.data() + kHeaderSumAt, sum.data(), sum.size());
  return bytes;
}

int64_t ShardHeader::file_bytes() const { return ends_at(tokens) + documents * int64_t(sizeof(uint64_t)); }

ShardFile::ShardFile(const std::filesystem::path& path, int64_t vocabulary)
    : path_(path), file_(std::make_shared<const MappedFile>(path)), vocabulary_(vocabulary) {
  const auto bytes = file_->bytes();
  const bool own = bytes.size() >= sizeof kMagic && std::memcmp(bytes.data(), kMagic, sizeof kMagic) == 0;
  const int32_t first = bytes.size() >= 4 ? read_at<int32_t>(bytes, 0) : 0;
  if (own)
    read_own();
  else if (first == kLlmC16 || first == kLlmC32)
    read_llm_c();
  else
    read_raw();
}

void ShardFile::read_own() {
  const auto bytes = file_->bytes();
  const int64_t size = int64_t(bytes.size());
  RMOE_CHECK(size >= ShardHeader::kBytes, "data: ", path_.string(), " is cut off: ", size,
             " bytes, its header alone has ", ShardHeader::kBytes);
  const auto raw = read_at<RawHeader>(bytes, 0);
  RMOE_CHECK(raw.version == kVersion && raw.width == kWidth, "data: ", path_.string(),
             " is a shard of version ", raw.version, " with ", raw.width, " bytes per token, wanted version ",
             kVersion, " with ", kWidth, ": a newer rmoe may read it");
  RMOE_CHECK(read_at<Sum>(bytes, size_t(kHeaderSumAt)) == sum_of(bytes.data(), size_t(kHeaderSumAt)),
             "data: ", path_.string(), " is damaged: its header has a wrong checksum");
  RMOE_CHECK(raw.tokens <= uint64_t(kMostTokens) && raw.documents <= raw.tokens, "data: ", path_.string(),
             " is damaged: it claims ", raw.documents, " documents in ", raw.tokens, " tokens");
  header_ = {int64_t(raw.tokens), int64_t(raw.documents), int64_t(raw.vocabulary), raw.tokenizer,
             raw.payload};
  RMOE_CHECK(size == header_->file_bytes(), "data: ", path_.string(),
             size < header_->file_bytes() ? " is cut off: " : " is damaged: ", size, " bytes, wanted ",
             header_->file_bytes());
  RMOE_CHECK(header_->vocabulary == vocabulary_, "data: ", path_.string(), " is of a vocabulary of ",
             header_->vocabulary, ", the tokenizer beside it has ", vocabulary_);
  tokens_ = header_->tokens;
  begin_ = ShardHeader::kBytes;
  ends_ = {reinterpret_cast<const uint64_t*>(bytes.data() + ends_at(tokens_)), size_t(header_->documents)};
}

void ShardFile::read_llm_c() {
  const auto bytes = file_->bytes();
  const int64_t size = int64_t(bytes.size());
  RMOE_CHECK(size >= ShardHeader::kBytes, "data: ", path_.string(), " is cut off: ", size,
             " bytes, llm.c's header alone has ", ShardHeader::kBytes);
  const auto magic = read_at<int32_t>(bytes, 0), version = read_at<int32_t>(bytes, 4);
  width_ = magic == kLlmC16 ? 2 : 4;
  const int32_t wanted = magic == kLlmC16 ? 1 : 7;
  RMOE_CHECK(version == wanted, "data: ", path_.string(), " is an llm.c file ", magic, " of version ",
             version, ", wanted ", wanted);
  tokens_ = read_at<int32_t>(bytes, 8);
  begin_ = ShardHeader::kBytes;
  RMOE_CHECK(tokens_ >= 0 && size == begin_ + tokens_ * width_, "data: ", path_.string(), " claims ", tokens_,
             " tokens of ", width_, " bytes, but has ", size, " bytes, wanted ", begin_ + tokens_ * width_,
             ": it is cut off or damaged");
}

/// nanoGPT's files have nothing to know them by but their names.
void ShardFile::read_raw() {
  const int64_t size = int64_t(file_->bytes().size());
  RMOE_CHECK(
      is_raw_name(path_.filename().string()), "data: ", path_.string(),
      " is no shard: it begins neither like one of rmoe nor like one of llm.c (only train.bin, val.bin, "
      "valid.bin and test.bin are read as nanoGPT's)");
  RMOE_CHECK(size % 2 == 0, "data: ", path_.string(), " is cut off: 16-bit tokens in ", size, " bytes");
  width_ = 2;
  tokens_ = size / 2;
}

Tokens ShardFile::view() const {
  const std::byte* data = file_->bytes().data() + begin_;
  Tokens::Piece piece{{}, vocabulary_, path_.string(), file_};
  if (width_ == 2)
    piece.ids = std::span(reinterpret_cast<const uint16_t*>(data), size_t(tokens_));
  else
    piece.ids = std::span(reinterpret_cast<const uint32_t*>(data), size_t(tokens_));
  Tokens tokens;
  tokens.append(std::move(piece));
  return tokens;
}

std::string ShardFile::identity() const {
  const auto bytes = file_->bytes();
  const std::string_view head(reinterpret_cast<const char*>(bytes.data()),
                              std::min(bytes.size(), size_t(ShardHeader::kBytes)));
  return concat(bytes.size(), " ", sha256(head));
}

void ShardFile::verify() const {
  const auto bytes = file_->bytes();
  if (header_) {
    const auto payload = bytes.subspan(size_t(ShardHeader::kBytes));
    RMOE_CHECK(sum_of(payload.data(), payload.size()) == header_->payload, "data: ", path_.string(),
               " is damaged: its tokens have a wrong checksum; prepare the folder again");
    uint64_t before = 0;
    for (const uint64_t end : ends_) {
      RMOE_CHECK(end > before && end <= uint64_t(tokens_), "data: ", path_.string(),
                 " is damaged: a document ends at ", end, " of ", tokens_, " tokens, after one that ends at ",
                 before);
      before = end;
    }
    RMOE_CHECK(before == uint64_t(tokens_), "data: ", path_.string(),
               " is damaged: the last document ends at ", before, " of ", tokens_, " tokens");
  }
  const Tokens all = view();
  std::vector<int32_t> block(1 << 16);
  for (int64_t i = 0; i < tokens_; i += int64_t(block.size()))
    all.copy(i, std::span(block).first(size_t(std::min(int64_t(block.size()), tokens_ - i))));
}

}  // namespace rmoe
