#include "train/serve/utf8.hpp"

#include "engine/random.hpp"
#include "train/serve/text_stream.hpp"

#include <doctest/doctest.h>
#include <vector>

namespace rmoe::test {
namespace {

using namespace serve;

/// Bytes that are often characters, often broken ones.
std::string random_text(uint64_t stream, size_t size) {
  const std::vector<std::string> pieces{"a",        "xy",   "\n",   "é",        "€",        "😀",
                                        "\xE2",     "\x82", "\xAC", "\xF0\x9F", "\xC0\x80", "\xED\xA0\x80",
                                        "\xF4\x90", "\xFF", "END",  "E"};
  std::string text;
  for (size_t i = 0; i < size; ++i) text += pieces[size_t(uniform_at(3, stream, i) * double(pieces.size()))];
  return text;
}

/// What a client gets who takes what there is after every few bytes.
std::string streamed(const std::string& text, const std::vector<std::string>& stops, uint64_t stream) {
  TextStream out(stops);
  std::string got;
  for (size_t i = 0, n = 0; i < text.size(); i += n) {
    n = 1 + size_t(uniform_at(4, stream, i) * 4);
    if (!out.add(text.substr(i, n))) break;
    got += out.take();
  }
  out.end();
  return got + out.take();
}

}  // namespace

TEST_CASE("utf8: broken sequences become U+FFFD, one for each maximal part") {
  CHECK(repaired("aé€😀") == "aé€😀");
  CHECK(repaired("a\xE2\x82z") == "a\uFFFDz");
  CHECK(repaired("\xE2\x82") == "\uFFFD");
  CHECK(repaired("\xC0\x80") == "\uFFFD\uFFFD");                      // overlong
  CHECK(repaired("\xED\xA0\x80") == "\uFFFD\uFFFD\uFFFD");            // a surrogate
  CHECK(repaired("\xF4\x90\x80\x80") == "\uFFFD\uFFFD\uFFFD\uFFFD");  // beyond U+10FFFF
  CHECK(repaired("\xF1\x80\x80\xE1\x80\xC2") == "\uFFFD\uFFFD\uFFFD");
  CHECK(code_points("aé€😀\xE2\x82") == 5);
  CHECK(is_complete("é"));
  CHECK_FALSE(is_complete("\xC3"));
  CHECK_FALSE(is_complete("\xA9"));
}

TEST_CASE("utf8: only a character that may still be completed is held back") {
  CHECK(complete_prefix("ab") == 2);
  CHECK(complete_prefix("a\xC3") == 1);
  CHECK(complete_prefix("a\xE2\x82") == 1);
  CHECK(complete_prefix("a\xF0\x9F\x98") == 1);
  CHECK(complete_prefix("a\xE2\x82\xAC") == 4);
  CHECK(complete_prefix("a\x82\xAC") == 3);  // no first byte: broken already
  CHECK(complete_prefix("\xED\xA0") == 2);   // cannot be completed
  CHECK(complete_prefix("\x80\x80\x80\x80") == 4);
}

TEST_CASE("text stream: a stop string ends the text before it, wherever tokens are cut") {
  TextStream text({"END", "\n\n"});
  CHECK(text.add("one E"));
  CHECK(text.take() == "one ");
  CHECK(text.add("N"));
  CHECK(text.take() == "");
  CHECK(text.add("d E"));  // was none after all
  CHECK(text.take() == "ENd ");
  CHECK_FALSE(text.add("NDless"));
  CHECK(text.take() == "");
  CHECK_FALSE(text.add("more"));
  CHECK(text.take() == "");

  TextStream two({"xyz", "y"});  // the one that begins first wins, even if it is complete later
  CHECK_FALSE(two.add("axyz"));
  CHECK(two.take() == "a");
  TextStream echo({"stop"}, "a prompt that says stop and st");
  CHECK(echo.add("op"));
  CHECK(echo.take() == "a prompt that says stop and stop");
}

TEST_CASE("text stream: pieces are together the whole, and every piece is valid") {
  for (uint64_t i = 0; i < 300; ++i) {
    const std::string text = random_text(i, 40);
    CAPTURE(i);
    CHECK(streamed(text, {}, i) == repaired(text));
    CHECK(streamed(text, {"END", "xya"}, i) ==
          repaired(text.substr(0, std::min(text.find("END"), text.find("xya")))));
  }
}

}  // namespace rmoe::test
