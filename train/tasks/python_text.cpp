#include "train/tasks/python_text.hpp"

#include "data/words.hpp"
#include "train/tasks/case_table.hpp"

#include <algorithm>

namespace rmoe::python {
namespace {

constexpr uint32_t kCapitalSigma = 0x3A3, kSmallSigma = 0x3C3, kFinalSigma = 0x3C2, kDottedI = 0x130;

/// Where the character before text[end] starts.
size_t start_of_last(std::string_view text, size_t end) {
  do --end;
  while (end > 0 && (text[end] & 0xC0) == 0x80);
  return end;
}

std::u32string decode(std::string_view text) {
  std::u32string codes;
  for (size_t i = 0; i < text.size();) {
    const uint8_t lead = text[i++];
    const int more = lead < 0xC0 ? 0 : lead < 0xE0 ? 1 : lead < 0xF0 ? 2 : 3;
    uint32_t code = more ? lead & (0x3Fu >> more) : lead;
    for (int k = 0; k < more && i < text.size(); ++k) code = code << 6 | (uint8_t(text[i++]) & 0x3F);
    codes += char32_t(code);
  }
  return codes;
}

void append(std::string& text, uint32_t code) {
  const int more = code < 0x80 ? 0 : code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
  constexpr uint8_t kLead[] = {0, 0xC0, 0xE0, 0xF0};
  text += char(kLead[more] | code >> (6 * more));
  for (int k = more - 1; k >= 0; --k) text += char(0x80 | (code >> (6 * k) & 0x3F));
}

uint32_t moved(std::span<const case_table::Run> runs, uint32_t code) {
  const auto run =
      std::ranges::lower_bound(runs, code, {}, &case_table::Run::last);  // the first to end at code or later
  const bool within = run != runs.end() && run->first <= code && (code - run->first) % run->step == 0;
  return within ? code + uint32_t(run->delta) : code;
}

bool contains(std::span<const case_table::Range> ranges, uint32_t code) {
  const auto range = std::ranges::lower_bound(ranges, code, {}, &case_table::Range::last);
  return range != ranges.end() && range->first <= code;
}

/// Is the capital sigma at codes[i] the last letter of a word of more than one?
bool ends_word(const std::u32string& codes, size_t i) {
  size_t before = i, after = i + 1;
  while (before > 0 && contains(case_table::ignored, codes[before - 1])) --before;
  while (after < codes.size() && contains(case_table::ignored, codes[after])) ++after;
  return before > 0 && contains(case_table::cased, codes[before - 1]) &&
         (after == codes.size() || !contains(case_table::cased, codes[after]));
}

void append_title(std::string& text, uint32_t code) {
  const auto special =
      std::ranges::lower_bound(case_table::special_title, code, {}, &case_table::Special::code);
  if (special == case_table::special_title.end() || special->code != code)
    return append(text, moved(case_table::title, code));
  for (const uint32_t to : special->to)
    if (to) append(text, to);
}

void append_lower(std::string& text, const std::u32string& codes, size_t i) {
  const uint32_t code = codes[i];
  if (code == kCapitalSigma) return append(text, ends_word(codes, i) ? kFinalSigma : kSmallSigma);
  if (code == kDottedI) return void(text += "i\u0307");  // the only letter whose small form is two
  append(text, moved(case_table::lower, code));
}

}  // namespace

std::string_view lstrip(std::string_view text) {
  while (!text.empty()) {
    const size_t space = white_space_length(text, 0);
    if (space == 0) break;
    text.remove_prefix(space);
  }
  return text;
}

std::string_view rstrip(std::string_view text) {
  while (!text.empty()) {
    const size_t last = start_of_last(text, text.size());
    if (white_space_length(text, last) != text.size() - last) break;
    text = text.substr(0, last);
  }
  return text;
}

std::string_view strip(std::string_view text) { return lstrip(rstrip(text)); }

std::string replace(std::string_view text, std::string_view what, std::string_view with) {
  std::string out;
  size_t begin = 0;
  for (size_t at; (at = text.find(what, begin)) != text.npos; begin = at + what.size())
    out.append(text, begin, at - begin).append(with);
  return out.append(text, begin);
}

std::string capitalize(std::string_view text) {
  const std::u32string codes = decode(text);
  std::string out;
  for (size_t i = 0; i < codes.size(); ++i)
    i == 0 ? append_title(out, codes[0]) : append_lower(out, codes, i);
  return out;
}

int64_t length(std::string_view text) {
  return std::ranges::count_if(text, [](char byte) { return (byte & 0xC0) != 0x80; });
}

}  // namespace rmoe::python
