#!/usr/bin/env python3
"""Writes normalization_tables.inc and lower_case_tables.inc from Python's Unicode database."""
import sys
import unicodedata

decompositions, classes, compatibility = [], [], []
for code in range(sys.maxunicode + 1):
    character = chr(code)
    if 0xAC00 <= code <= 0xD7A3 or 0xD800 <= code <= 0xDFFF:
        continue
    mapping = unicodedata.decomposition(character)
    if mapping and not mapping.startswith("<"):
        parts = [int(part, 16) for part in mapping.split()]
        composes = len(parts) == 2 and unicodedata.normalize("NFC", chr(parts[0]) + chr(parts[1])) == character
        decompositions.append((code, parts[0], parts[1] if len(parts) > 1 else 0, composes))
    elif mapping:
        compatibility.append((code, [int(part, 16) for part in mapping.split()[1:]]))
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
    out.write("};\nconstexpr uint32_t kCompatibilityText[] = {\n")
    text = [part for _, parts in compatibility for part in parts]
    for i in range(0, len(text), 12):
        out.write("    " + ", ".join(f"0x{part:X}" for part in text[i:i + 12]) + ",\n")
    out.write("};\nconstexpr Compatibility kCompatibility[] = {\n")
    rows, offset = [], 0
    for code, parts in compatibility:
        rows.append(f"{{0x{code:X}, {offset}, {len(parts)}}}")
        offset += len(parts)
    for i in range(0, len(rows), 5):
        out.write("    " + ", ".join(rows[i:i + 5]) + ",\n")
    out.write("};\n")

runs = []  # [first, last, step, what to add]
for code in range(sys.maxunicode + 1):
    lower = chr(code).lower()
    if lower == chr(code) or len(lower) > 1:
        continue
    distance = ord(lower) - code
    if runs and runs[-1][3] == distance:
        first, last, step, _ = runs[-1]
        if (first == last and code - last <= 2) or (first != last and code - last == step):
            runs[-1] = [first, code, code - last, distance]
            continue
    runs.append([code, code, 1, distance])
with open(__file__.replace("make_normalization_tables.py", "lower_case_tables.inc"), "w") as out:
    out.write(f"// Made by make_normalization_tables.py from Unicode {unicodedata.unidata_version}; not to be edited.\n")
    out.write("constexpr LowerRun kLowerRuns[] = {\n")
    for first, last, step, distance in runs:
        out.write(f"    {{0x{first:X}, 0x{last:X}, {step}, {distance}}},\n")
    out.write("};\n")
