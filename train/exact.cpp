#include "train/exact.hpp"

#include <charconv>

namespace rmoe {

std::string exact(double value) {
  char text[32];
  std::string number(text, std::to_chars(text, text + sizeof text, value).ptr);
  if (number.find_first_of(".e") == std::string::npos)
    number += ".0";  // or 2.0 would come back as an integer
  return number;
}

}  // namespace rmoe
