// Text that clients read must be valid UTF-8, but a token may be any bytes: half a character, or none at all.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace rmoe::serve {

/// Length of the longest prefix that does not end inside a character that more bytes could complete.
size_t complete_prefix(std::string_view bytes);

/// Each broken sequence becomes U+FFFD (the maximal subparts of the Unicode standard, section 3.9). Texts cut
/// at complete_prefix() and repaired apart are together the repaired whole.
std::string repaired(std::string_view bytes);

/// Characters of repaired(bytes).
int64_t code_points(std::string_view bytes);

bool is_complete(std::string_view bytes);  // valid as it stands

}  // namespace rmoe::serve
