// Texts inside Debian packages, in the formats their programs keep them in.
#pragma once

#include <string>
#include <string_view>

namespace rmoe {

/// The King James Bible out of bible.data (package bible-kjv-text): one line "Ge1:1 In the beginning ..." per
/// verse, what `bible -f gen1:1-rev22:21` prints.
std::string read_bible(std::string_view data);

/// Jane Austen's novels out of Rdata.rdb (package r-cran-janeaustenr): line by line, one after another.
std::string read_novels(std::string_view rdb);

}  // namespace rmoe
