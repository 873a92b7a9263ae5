// The string functions of Python that the evaluation rules are written in, on UTF-8 text. Their notion of
// white space and letter case is Unicode's, not ASCII's.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace rmoe::python {

std::string_view lstrip(std::string_view text);
std::string_view rstrip(std::string_view text);
std::string_view strip(std::string_view text);

/// str.replace: every occurrence, from the left.
std::string replace(std::string_view text, std::string_view what, std::string_view with);

/// str.capitalize: the first character in title case, all others in lower case.
std::string capitalize(std::string_view text);

/// len: code points of well-formed UTF-8.
int64_t length(std::string_view text);

}  // namespace rmoe::python
