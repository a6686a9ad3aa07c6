#!/usr/bin/env python3
"""Writes normalization_tables.inc: canonical decompositions and combining classes of Python's Unicode database."""
import sys
import unicodedata

decompositions, classes = [], []
for code in range(sys.maxunicode + 1):
    character = chr(code)
    if 0xAC00 <= code <= 0xD7A3 or 0xD800 <= code <= 0xDFFF:
        continue
    mapping = unicodedata.decomposition(character)
    if mapping and not mapping.startswith("<"):
        parts = [int(part, 16) for part in mapping.split()]
        composes = len(parts) == 2 and unicodedata.normalize("NFC", chr(parts[0]) + chr(parts[1])) == character
        decompositions.append((code, parts[0], parts[1] if len(parts) > 1 else 0, composes))
    combining = unicodedata.combining(character)
    if combining:
        if classes and classes[-1][1] == code - 1 and classes[-1][2] == combining:
            classes[-1][1] = code
        else:
            classes.append([code, code, combining])

with open(__file__.replace("make_normalization_tables.py", "normalization_tables.inc"), "w") as out:
    out.write(f"// Made by make_normalization_tables.py from Unicode {unicodedata.unidata_version}; not to be edited.\n")
    out.write("constexpr Decomposition kDecompositions[] = {\n")
    for code, first, second, composes in decompositions:
        out.write(f"    {{0x{code:X}, 0x{first:X}, 0x{second:X}, {'true' if composes else 'false'}}},\n")
    out.write("};\nconstexpr CombiningRange kCombining[] = {\n")
    for first, last, combining in classes:
        out.write(f"    {{0x{first:X}, 0x{last:X}, {combining}}},\n")
    out.write("};\n")
