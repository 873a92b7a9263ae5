// Reads protobuf's wire format: the fields of one message, in order. What does not fit is an Error.
#pragma once

#include <cstdint>
#include <string_view>

namespace rmoe {

struct WireField {
  uint32_t number;
  uint64_t value = 0;           // of a varint, or the bits of a fixed-size field
  std::string_view bytes = {};  // of a string or an inner message
};

class WireReader {
 public:
  explicit WireReader(std::string_view message) : rest_(message) {}
  bool next(WireField& field);

 private:
  uint64_t varint();
  std::string_view take(uint64_t bytes);
  uint64_t fixed(int bytes);

  std::string_view rest_;
};

}  // namespace rmoe
