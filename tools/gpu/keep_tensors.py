#!/usr/bin/env python3
"""Copies a safetensors file with some of its tensors.

usage: keep_tensors.py FROM TO PREFIX…      tensors whose names begin with one of them
"""
import json
import struct
import sys


def main():
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    source, target, prefixes = sys.argv[1], sys.argv[2], tuple(sys.argv[3:])
    data = open(source, "rb").read()
    (length,) = struct.unpack_from("<Q", data)
    header, body = json.loads(data[8:8 + length]), memoryview(data)[8 + length:]
    kept, pieces, place = {}, [], 0
    for name, entry in sorted(((n, e) for n, e in header.items() if n.startswith(prefixes)), key=lambda one: one[1]["data_offsets"]):
        begin, end = entry["data_offsets"]
        kept[name] = dict(entry, data_offsets=[place, place + end - begin])
        pieces.append(body[begin:end])
        place += end - begin
    if not kept:
        sys.exit(f"{source}: no tensor begins with {' or '.join(prefixes)}")
    text = json.dumps(kept).encode()
    text += b" " * (-len(text) % 8)
    with open(target, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for piece in pieces:
            file.write(piece)


main()
