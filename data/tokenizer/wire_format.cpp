#include "data/tokenizer/wire_format.hpp"

#include "engine/error.hpp"

namespace rmoe {
namespace {

enum WireType { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

}  // namespace

uint64_t WireReader::varint() {
  uint64_t value = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    const uint8_t byte = take(1)[0];
    value |= uint64_t(byte & 0x7F) << shift;
    if (byte < 0x80) return value;
  }
  fail("a number has more than 64 bits");
}

std::string_view WireReader::take(uint64_t bytes) {
  RMOE_CHECK(bytes <= rest_.size(), "it ends within a field: wanted ", bytes, " bytes more, got ",
             rest_.size());
  const std::string_view taken = rest_.substr(0, bytes);
  rest_.remove_prefix(bytes);
  return taken;
}

uint64_t WireReader::fixed(int bytes) {
  uint64_t value = 0;
  const std::string_view little_endian = take(bytes);
  for (int i = 0; i < bytes; ++i) value |= uint64_t(uint8_t(little_endian[i])) << 8 * i;
  return value;
}

bool WireReader::next(WireField& field) {
  if (rest_.empty()) return false;
  const uint64_t tag = varint();
  field = {uint32_t(tag >> 3)};
  RMOE_CHECK(field.number > 0 && tag >> 32 == 0, "there is a field without a number");
  switch (tag & 7) {
    case kVarint:
      field.value = varint();
      return true;
    case kFixed64:
      field.value = fixed(8);
      return true;
    case kBytes:
      field.bytes = take(varint());
      return true;
    case kFixed32:
      field.value = fixed(4);
      return true;
    default:
      fail("field ", field.number, " has the unknown wire type ", tag & 7);
  }
}

}  // namespace rmoe
