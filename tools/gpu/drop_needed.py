#!/usr/bin/env python3
"""Takes a library off the list of those that an ELF file is loaded with, with the symbol versions that it asks of it. The library's
functions are looked up at their first call, as always: a program that never calls them runs without it.

usage: drop_needed.py FILE LIBRARY      (64-bit little-endian; no change where FILE does not name LIBRARY)
"""
import struct
import sys

PT_LOAD, PT_DYNAMIC = 1, 2
DT_NULL, DT_NEEDED, DT_STRTAB, DT_VERNEED, DT_VERNEEDNUM = 0, 1, 5, 0x6FFFFFFE, 0x6FFFFFFF
DT_IGNORED = 0x6000000D  # first number of the range for operating systems: the loader passes over what it does not know


class Elf:
    def __init__(self, path):
        self.path, self.data = path, bytearray(open(path, "rb").read())
        if self.data[:6] != b"\x7fELF\x02\x01":
            sys.exit(f"{path}: expected a 64-bit little-endian ELF file")
        table, (entry_size, count) = self.get("<Q", 32)[0], self.get("<HH", 54)
        self.headers = [self.get("<IIQQQQQQ", table + i * entry_size) for i in range(count)]
        dynamic = next(h for h in self.headers if h[0] == PT_DYNAMIC)
        self.dynamic = []  # (place in the file, tag, value)
        for place in range(dynamic[2], dynamic[2] + dynamic[5], 16):
            tag, value = self.get("<QQ", place)
            if tag == DT_NULL:
                break
            self.dynamic.append((place, tag, value))
        self.strings = self.place_of(self.entry(DT_STRTAB)[2])

    def get(self, layout, place):
        return struct.unpack_from(layout, self.data, place)

    def put(self, layout, place, *values):
        struct.pack_into(layout, self.data, place, *values)

    def place_of(self, address):
        return next(h[2] + address - h[3] for h in self.headers if h[0] == PT_LOAD and h[3] <= address < h[3] + h[5])

    def entry(self, tag):
        return next((entry for entry in self.dynamic if entry[1] == tag), None)

    def name(self, offset):
        start = self.strings + offset
        return self.data[start : self.data.index(0, start)].decode()

    def drop_needed(self, library):
        for place, tag, value in self.dynamic:
            if tag == DT_NEEDED and self.name(value) == library:
                self.put("<Q", place, DT_IGNORED)
                return True
        return False

    def drop_versions(self, library):
        """The list of needed versions is a chain of offsets: the library's link is passed over."""
        first, count = self.entry(DT_VERNEED), self.entry(DT_VERNEEDNUM)
        if first is None:
            return
        here, before = self.place_of(first[2]), None
        for _ in range(count[2]):
            _, _, file, _, step = self.get("<HHIII", here)
            if self.name(file) == library:
                if before is None:
                    self.put("<Q", first[0] + 8, first[2] + step)
                else:
                    self.put("<I", before + 12, self.get("<I", before + 12)[0] + step if step else 0)
                self.put("<Q", count[0] + 8, count[2] - 1)
                return
            here, before = here + step, here


def main(path, library):
    elf = Elf(path)
    if elf.drop_needed(library):
        elf.drop_versions(library)
        open(path, "wb").write(elf.data)


main(*sys.argv[1:])
