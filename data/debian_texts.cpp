#include "data/debian_texts.hpp"

#include "data/archive.hpp"
#include "engine/error.hpp"

#include <cstdint>
#include <zlib.h>

namespace rmoe {
namespace {

/// Reads big-endian numbers and strings off the front of some bytes.
class Bytes {
 public:
  Bytes(std::string_view data, const char* what) : data_(data), what_(what) {}

  bool empty() const { return data_.empty(); }
  std::string_view rest() const { return data_; }
  std::string_view take(size_t count) {
    RMOE_CHECK(count <= data_.size(), what_, ": ends too early: wanted ", count, " more bytes, got ",
               data_.size());
    const std::string_view taken = data_.substr(0, count);
    data_.remove_prefix(count);
    return taken;
  }
  uint32_t u32() {
    uint32_t value = 0;
    for (const char byte : take(4)) value = value << 8 | uint8_t(byte);
    return value;
  }
  void expect(bool holds, const char* wanted) const { RMOE_CHECK(holds, what_, ": not ", wanted); }

 private:
  std::string_view data_;
  const char* what_;
};

/// One chunk of an .rdb file: the size of the content, then a zlib stream.
std::string inflate_chunk(Bytes& bytes) {
  std::string content(bytes.u32(), '\0');
  z_stream stream{};
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.rest().data()));
  stream.avail_in = uInt(bytes.rest().size());
  stream.next_out = reinterpret_cast<Bytef*>(content.data());
  stream.avail_out = uInt(content.size());
  inflateInit(&stream);
  const int status = inflate(&stream, Z_FINISH);
  inflateEnd(&stream);
  bytes.expect(status == Z_STREAM_END && stream.avail_out == 0, "a chunk of its stated size");
  bytes.take(stream.total_in);
  return content;
}

/// Appends the strings of an R character vector (serialised as XDR), a line each.
void append_lines(std::string_view object, std::string& text) {
  constexpr uint32_t kStringVector = 16, kString = 9, kTypeMask = 0xFF, kMissing = 0xFFFFFFFF;
  Bytes bytes(object, "Rdata.rdb");
  bytes.expect(bytes.take(2) == "X\n", "an object in XDR form");
  const uint32_t version = bytes.u32();
  bytes.take(8);                              // of the R that wrote it, and of the oldest that can read it
  if (version >= 3) bytes.take(bytes.u32());  // the name of the native encoding
  bytes.expect((bytes.u32() & kTypeMask) == kStringVector, "a vector of strings");
  for (uint32_t count = bytes.u32(); count > 0; --count) {
    bytes.expect((bytes.u32() & kTypeMask) == kString, "a string");
    const uint32_t length = bytes.u32();
    if (length != kMissing) text += bytes.take(length);
    text += '\n';
  }
}

}  // namespace

/// The file: 4 bytes magic "EC02", 80 of title, u32 window size, u32 number of windows, u32 offsets of the
/// windows and of the end; each window is the output of Unix compress without its header, which stands before
/// the first.
std::string read_bible(std::string_view data) {
  constexpr size_t kHeader = 3;
  Bytes bytes(data, "bible.data");
  bytes.expect(bytes.take(4) == "EC02", "a compressed text of version EC02");
  bytes.take(80);
  bytes.u32();
  const uint32_t windows = bytes.u32();
  std::string text;
  for (uint32_t i = 0, begin = bytes.u32(), end; i < windows; ++i, begin = end) {
    end = bytes.u32();
    bytes.expect(begin <= end && end <= data.size(), "a table of windows inside the file");
    text += decompress(std::string("\x1F\x9D\x90", kHeader).append(data.substr(begin, end - begin)));
  }
  const size_t title = text.find('\n');  // the first line names the text
  bytes.expect(title != text.npos, "a text of lines");
  return text.substr(title + 1);
}

std::string read_novels(std::string_view rdb) {
  std::string text;
  for (Bytes bytes(rdb, "Rdata.rdb"); !bytes.empty();) append_lines(inflate_chunk(bytes), text);
  return text;
}

}  // namespace rmoe
