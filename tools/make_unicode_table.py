#!/usr/bin/env python3
"""Writes data/tokenizer/unicode_table.cpp: which code points are letters and which are numbers.

The answer is asked, code point by code point, from the regular-expression engine inside Hugging Face `tokenizers`: it
has a Unicode version of its own (0.23.3: Unicode 16), and byte-level BPE is cut into words by exactly that one.

    pip install tokenizers==0.23.3
    tools/make_unicode_table.py > data/tokenizer/unicode_table.cpp
"""
from tokenizers import Regex, pre_tokenizers

CODES = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
SPACES = {*range(9, 14), 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000}


def members(pattern):
    split = pre_tokenizers.Split(Regex(pattern), "removed")
    found = set()
    for begin in range(0, len(CODES), 4096):
        text = "".join(map(chr, CODES[begin:begin + 4096]))
        rest = set("".join(piece for piece, _ in split.pre_tokenize_str(text)))
        found.update(ord(c) for c in text if c not in rest)
    return found


def table(name, pattern):
    codes = members(pattern)
    starts = sorted(c for c in codes if c - 1 not in codes)
    ends = sorted(c for c in codes if c + 1 not in codes)
    rows, row = [], "   "
    for range_text in (f" {{0x{a:X}, 0x{b:X}}}," for a, b in zip(starts, ends)):
        if len(row) + len(range_text) > 110:
            rows.append(row)
            row = "   "
        row += range_text
    return f"constexpr CodeRange {name}[] = {{\n" + "\n".join([*rows, row]) + "\n};\n"


if __name__ == "__main__":
    assert members(r"\s") == SPACES, "white space is not what is_space() in unicode.cpp says"
    print("""// Made by tools/make_unicode_table.py: the letters (category L) and numbers (N) of Unicode 16.
#include "data/tokenizer/unicode_table.hpp"

namespace rmoe::unicode {
namespace {

// clang-format off""")
    print(table("kLetterRanges", r"\p{L}"))
    print(table("kNumberRanges", r"\p{N}"), end="")
    print("""// clang-format on

}  // namespace

const std::span<const CodeRange> kLetters = kLetterRanges;
const std::span<const CodeRange> kNumbers = kNumberRanges;

}  // namespace rmoe::unicode""")
