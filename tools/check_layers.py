#!/usr/bin/env python3
"""Proves that the folders of src/ form the layered graph of tools/layers.txt.

Fails (exit 1) on an #include or a CMake link that the table does not list, an include whose folder CMake does not link,
a cycle, an edge to the same or a higher level, a folder without a line, and on tensor/raw_access.h outside of
src/ops/<backend>/, the explicit copies of src/ops/copy.cpp, src/tensor and tests. There is no list of exceptions.

usage: tools/check_layers.py [--root FOLDER]
"""
import argparse
import re
import sys
from pathlib import Path

INCLUDE = re.compile(r'^\s*#\s*include\s*(?:"([^"]+)"|<([^>]+)>)')
SOURCES = {".h", ".cpp", ".cu", ".cuh", ".inc"}
RAW_ACCESS = "tensor/raw_access.h"


class Table:
    """The lines `level folder : allowed folders` of layers.txt."""

    def __init__(self, path):
        self.level, self.allowed, self.problems = {}, {}, []
        for number, line in enumerate(path.read_text().splitlines(), 1):
            line = line.split("#")[0].strip()
            if not line:
                continue
            match = re.fullmatch(r"(\d+)\s+(\w+)\s*:\s*([\w\s]*)", line)
            if not match:
                self.problems.append(f"{path}:{number}: expected 'level folder : folders', found '{line}'")
                continue
            level, folder, allowed = int(match[1]), match[2], match[3].split()
            if folder in self.level:
                self.problems.append(f"{path}:{number}: '{folder}' stands twice")
            self.level[folder], self.allowed[folder] = level, allowed
            for other in allowed:
                if other not in self.level:
                    self.problems.append(f"{path}:{number}: '{folder}' may include '{other}', which has no line above it")
                elif self.level[other] >= level:
                    self.problems.append(f"{path}:{number}: '{folder}' (level {level}) may not include '{other}' (level {self.level[other]})")


def includes(path):
    """(line number, included name) of a source file."""
    with open(path, encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, 1):
            if match := INCLUDE.match(line):
                yield number, match[1] or match[2]


def check_includes(root, table, edges):
    problems = []
    for path in sorted((root / "src").rglob("*")):
        if path.suffix not in SOURCES or not path.is_file():
            continue
        parts = path.relative_to(root / "src").parts
        where = path.relative_to(root)
        if len(parts) < 2:
            problems.append(f"{where}: a source file belongs into a folder of src/")
            continue
        folder = parts[0]
        if folder not in table.level:
            continue  # reported once by check_folders
        for number, name in includes(path):
            target = name.split("/")[0]
            if name == RAW_ACCESS and not (folder == "tensor" or (folder == "ops" and (len(parts) > 2 or parts[1] == "copy.cpp"))):
                problems.append(f"{where}:{number}: {RAW_ACCESS} is for src/tensor, src/ops/<backend>/ and tests; use an op, to_host or from_host")
            if "/" in name and target in ("apps", "tests", "tools"):
                problems.append(f"{where}:{number}: src/ may not include {name}")
            if "/" not in name or target not in table.level or target == folder:
                continue
            edges.setdefault((folder, target), f"{where}:{number}")
            if target not in table.allowed[folder]:
                problems.append(f"{where}:{number}: '{folder}' may not include '{name}'; tools/layers.txt allows it: "
                                f"{' '.join(table.allowed[folder]) or 'nothing'}")
    for top in ("apps", "tools"):
        for path in sorted((root / top).rglob("*")):
            if path.suffix in SOURCES and path.is_file():
                for number, name in includes(path):
                    if name == RAW_ACCESS:
                        problems.append(f"{path.relative_to(root)}:{number}: {RAW_ACCESS} is for src/tensor, src/ops/<backend>/ and tests")
    return problems


def cmake_links(root, folders):
    """folder → {linked folder: where}, from r1_library(NAME … DEPENDS …) and the r1_<folder> names in a folder's own file."""
    links = {}
    files = [root / "src" / "CMakeLists.txt", *sorted((root / "src").glob("*/CMakeLists.txt"))]
    for path in files:
        if not path.is_file():
            continue
        text = re.sub(r"#[^\n]*", "", path.read_text())
        where = path.relative_to(root)
        for call in re.finditer(r"r1_library\s*\(([^)]*)\)", text):
            words = call[1].split()
            if "NAME" not in words:
                continue
            name = words[words.index("NAME") + 1]
            owner = path.parent.name if path.parent.name in folders else name
            targets = links.setdefault(owner, {})
            if "DEPENDS" in words:
                for word in words[words.index("DEPENDS") + 1:]:
                    if word.isupper():
                        break
                    targets.setdefault(word, where)
        if path.parent.name in folders:
            for target in re.findall(r"\br1_(\w+)", text):
                if target in folders and target != path.parent.name:
                    links.setdefault(path.parent.name, {}).setdefault(target, where)
    return links


def check_links(links, table, edges):
    problems = []
    for folder, targets in sorted(links.items()):
        for target, where in sorted(targets.items()):
            if target != folder and folder in table.level and target not in table.allowed[folder]:
                problems.append(f"{where}: CMake links '{folder}' with '{target}', which tools/layers.txt does not allow")
    for (folder, target), where in sorted(edges.items()):
        if target in table.allowed[folder] and target not in links.get(folder, {}):
            problems.append(f"{where}: '{folder}' includes '{target}', but DEPENDS in src/{folder}/CMakeLists.txt does not name it")
    return problems


def find_cycle(edges):
    """The folders of a cycle of includes, or None."""
    graph = {}
    for folder, target in edges:
        graph.setdefault(folder, set()).add(target)
    done, open_path = set(), []

    def visit(folder):
        if folder in open_path:
            return open_path[open_path.index(folder):] + [folder]
        if folder in done:
            return None
        open_path.append(folder)
        for target in sorted(graph.get(folder, ())):
            if cycle := visit(target):
                return cycle
        open_path.pop()
        done.add(folder)
        return None

    for folder in sorted(graph):
        if cycle := visit(folder):
            return cycle
    return None


def check(root):
    table = Table(root / "tools" / "layers.txt")
    problems = list(table.problems)
    for folder in sorted(path.name for path in (root / "src").iterdir() if path.is_dir()):
        if folder not in table.level:
            problems.append(f"src/{folder}: has no line in tools/layers.txt")
    edges = {}
    problems += check_includes(root, table, edges)
    problems += check_links(cmake_links(root, set(table.level)), table, edges)
    if cycle := find_cycle(edges):
        problems.append("cycle of includes: " + " → ".join(cycle))
    return problems, len(edges)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--root", type=Path, default=Path(__file__).resolve().parent.parent, help="the project's folder")
    problems, num_edges = check(parser.parse_args().root)
    for problem in problems:
        print(problem)
    print(f"layers: {num_edges} edges between folders, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
