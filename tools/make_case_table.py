#!/usr/bin/env python3
"""Writes train/tasks/case_table.cpp: upper and lower case as this Python's Unicode has them (3.11: Unicode 14).

    python3 tools/make_case_table.py > train/tasks/case_table.cpp && clang-format -i train/tasks/case_table.cpp
"""

import unicodedata

CODES = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]
SIGMA = "\u03a3"


def runs(mapped):
    """[first, last, step, delta]: every step-th code from first to last moves by delta."""
    out = []
    for c in CODES:
        to = mapped(chr(c))
        if len(to) != 1 or to == chr(c):
            continue
        delta = ord(to) - c
        if out:
            first, last, step, before = out[-1]
            if before == delta and (c - last == step if first != last else c - last in (1, 2)):
                out[-1] = [first, c, c - last, delta]
                continue
        out.append([c, c, 1, delta])
    return out


def ranges(codes):
    out = []
    for c in codes:
        if out and c == out[-1][1] + 1:
            out[-1][1] = c
        else:
            out.append([c, c])
    return out


def is_final(text):
    return (text + SIGMA).lower().endswith("\u03c2")


def table(kind, name, rows):
    cells = ",".join("{" + ",".join(row) + "}" for row in rows)
    print(f"constexpr {kind} {name}[] = {{{cells}}};")


def hexes(row):
    return [hex(v) for v in row[:2]] + [str(v) for v in row[2:]]


def main():
    cased = [c for c in CODES if is_final(chr(c))]
    ignored = [c for c in CODES if is_final("A" + chr(c)) and not is_final(chr(c))]
    special = [[hex(c), "{" + ",".join(hex(ord(t)) for t in chr(c).title()) + "}"]
               for c in CODES if len(chr(c).title()) > 1]
    print(f"// Made by tools/make_case_table.py from Unicode {unicodedata.unidata_version}; not to be edited.")
    print('#include "train/tasks/case_table.hpp"\n\nnamespace rmoe::case_table {\nnamespace {\n')
    table("Run", "kLower", map(hexes, runs(str.lower)))
    table("Run", "kTitle", map(hexes, runs(str.title)))
    table("Special", "kSpecialTitle", special)
    table("Range", "kCased", map(hexes, ranges(cased)))
    table("Range", "kIgnored", map(hexes, ranges(ignored)))
    print("\n}  // namespace\n")
    for kind, name in [("Run", "lower"), ("Run", "title"), ("Special", "special_title"), ("Range", "cased"),
                       ("Range", "ignored")]:
        constant = "k" + "".join(part.capitalize() for part in name.split("_"))
        print(f"const std::span<const {kind}> {name}{{{constant}}};")
    print("\n}  // namespace rmoe::case_table")


if __name__ == "__main__":
    main()
