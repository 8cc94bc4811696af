#!/usr/bin/env python3
"""Counts what a run of the suite passed, failed and skipped, and says why it skipped.

usage: summary.py RESULTS_FOLDER

The folder holds CTest's own report (ctest.junit) and the GoogleTest reports (*.xml, in sub-folders those of builds of their
own, such as the sanitized one). A GoogleTest binary counts by its cases, any other CTest entry as one. An entry skips itself
by exit code 77 and a line "skipped: <reason>". Several ranks that write the same case count once, the worst result wins.
The last line is "N passed, N failed, N skipped"; the exit code is 0 when nothing failed and something ran.
"""
import re
import sys
import xml.etree.ElementTree as xml
from pathlib import Path

PASSED, SKIPPED, FAILED = 0, 1, 2


class Results:
    def __init__(self):
        self.cases = {}  # name → (result, reason)

    def add(self, name, result, reason=""):
        if name not in self.cases or self.cases[name][0] < result:
            self.cases[name] = (result, reason)

    def count(self, wanted):
        return sum(1 for result, _ in self.cases.values() if result == wanted)


def skip_reason(message):
    """The text of GTEST_SKIP() without the file:line before it, on one line."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    if len(lines) > 1 and re.search(r":\d+$", lines[0]):
        lines = lines[1:]
    return " ".join(lines) or "no reason given"


def read_gtest(path, root, results):
    binary = re.sub(r"_\d+$", "", path.stem)
    folder = path.parent.relative_to(root).as_posix()
    prefix = "" if folder == "." else folder + "/"
    for case in xml.parse(path).getroot().iter("testcase"):
        if case.get("status") == "notrun":
            continue
        name = f"{prefix}{binary}: {case.get('classname')}.{case.get('name')}"
        skipped = case.find("skipped")
        if case.find("failure") is not None:
            results.add(name, FAILED)
        elif skipped is not None:
            results.add(name, SKIPPED, skip_reason(skipped.get("message", "")))
        else:
            results.add(name, PASSED)


def read_ctest(path, results):
    """Entries that are not GoogleTest binaries, and those of them that failed without a failed case (a crash, a time-out)."""
    for entry in xml.parse(path).getroot().iter("testcase"):
        name, output = entry.get("name"), entry.findtext("system-out") or ""
        status = entry.get("status")
        is_gtest = "[==========]" in output or "Note: Google Test filter" in output
        if status == "fail" or entry.find("failure") is not None:
            if not (is_gtest and re.search(r"^\[  FAILED  \] \S+\.\S+", output, re.M)):
                results.add(f"ctest {name}", FAILED)
        elif entry.find("skipped") is not None or status in ("notrun", "disabled"):
            reasons = re.findall(r"^skipped: (.*)$", output, re.M)
            results.add(f"ctest {name}", SKIPPED, reasons[-1] if reasons else "not run (see CTest's lines above)")
        elif not is_gtest:
            results.add(f"ctest {name}", PASSED)


def summarize(folder):
    results = Results()
    unreadable = []
    for path in sorted(folder.rglob("*.xml")):
        try:
            read_gtest(path, folder, results)
        except xml.ParseError as error:
            unreadable.append(f"{path}: {error}")  # the binary died while it wrote; CTest has the failure
    report = folder / "ctest.junit"
    if report.exists():
        read_ctest(report, results)
    else:
        results.add("ctest", FAILED)
        unreadable.append(f"{report}: CTest left no report")
    return results, unreadable


def print_summary(results, unreadable):
    by_reason = {}
    for name, (result, reason) in results.cases.items():
        if result == SKIPPED:
            by_reason.setdefault(reason, []).append(name)
    print()
    if by_reason:
        print("Skipped, by reason:")
        for reason, names in sorted(by_reason.items(), key=lambda item: -len(item[1])):
            shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
            print(f"  {len(names)} × {reason}\n      {shown}")
    failed = sorted(name for name, (result, _) in results.cases.items() if result == FAILED)
    if failed:
        print("Failed:")
        for name in failed:
            print(f"  {name}")
    for line in unreadable:
        print(f"unreadable report: {line}")
    print(f"{results.count(PASSED)} passed, {results.count(FAILED)} failed, {results.count(SKIPPED)} skipped")


def main():
    if len(sys.argv) != 2 or sys.argv[1] in ("-h", "--help"):
        print(__doc__)
        return 0 if len(sys.argv) == 2 else 2
    results, unreadable = summarize(Path(sys.argv[1]))
    print_summary(results, unreadable)
    return 1 if results.count(FAILED) > 0 or not results.cases else 0


if __name__ == "__main__":
    sys.exit(main())
