#!/usr/bin/env python3
"""Tests of the suite's own tools: the summary of results and the check of layers."""
import contextlib
import io
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.dont_write_bytecode = True
HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent.parent / "tools")]
import check_layers  # noqa: E402
import summary  # noqa: E402

GTEST = """<testsuites><testsuite name="A">
<testcase name="Passes" status="run" result="completed" classname="A"/>
<testcase name="Skips" status="run" result="skipped" classname="A"><skipped message="/x/a_test.cpp:12&#x0A;needs a GPU"/></testcase>
<testcase name="Off" status="notrun" result="suppressed" classname="A"/>
{more}</testsuite></testsuites>"""
FAILED_CASE = '<testcase name="Fails" status="run" result="completed" classname="A"><failure message="no"/></testcase>'


def run_summary(files):
    with tempfile.TemporaryDirectory() as folder:
        for name, text in files.items():
            path = Path(folder) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        results, unreadable = summary.summarize(Path(folder))
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            summary.print_summary(results, unreadable)
        return results, output.getvalue()


class Summary(unittest.TestCase):
    def test_ends_with_the_counts_and_names_the_reason_of_a_skip(self):
        _, text = run_summary({
            "a_test.xml": GTEST.format(more=""),
            "ctest.junit": '<testsuite><testcase name="a" status="run"><system-out>[==========] Running</system-out></testcase>'
                           '<testcase name="layers" status="run"><system-out>fine</system-out></testcase></testsuite>'})
        self.assertEqual(text.splitlines()[-1], "2 passed, 0 failed, 1 skipped")
        self.assertIn("1 × needs a GPU", text)

    def test_a_failed_case_counts_once_though_its_entry_failed_too(self):
        results, text = run_summary({
            "a_test.xml": GTEST.format(more=FAILED_CASE),
            "ctest.junit": '<testsuite><testcase name="a" status="fail"><failure message="Failed"/>'
                           "<system-out>[==========] Running\n[  FAILED  ] A.Fails (0 ms)</system-out></testcase></testsuite>"})
        self.assertEqual(results.count(summary.FAILED), 1)
        self.assertIn("a_test: A.Fails", text)

    def test_a_binary_that_crashed_is_a_failure_without_a_report(self):
        results, _ = run_summary({
            "ctest.junit": '<testsuite><testcase name="a" status="fail"><failure message="SEGFAULT"/>'
                           "<system-out>[==========] Running 3 tests\n[ RUN      ] A.Fails</system-out></testcase></testsuite>"})
        self.assertEqual(results.count(summary.FAILED), 1)

    def test_ranks_that_disagree_count_once_and_as_failed(self):
        results, _ = run_summary({
            "a_test.xml": GTEST.format(more=FAILED_CASE.replace('<failure message="no"/>', "")),
            "a_test_1.xml": GTEST.format(more=FAILED_CASE),
            "ctest.junit": "<testsuite/>"})
        self.assertEqual([results.count(r) for r in (summary.PASSED, summary.FAILED, summary.SKIPPED)], [1, 1, 1])

    def test_an_entry_that_left_with_77_says_why(self):
        _, text = run_summary({
            "ctest.junit": '<testsuite><testcase name="slurm" status="notrun"><skipped message="SKIP_RETURN_CODE=77"/>'
                           "<system-out>skipped: no slurmctld here</system-out></testcase></testsuite>"})
        self.assertIn("1 × no slurmctld here", text)
        self.assertEqual(text.splitlines()[-1], "0 passed, 0 failed, 1 skipped")

    def test_a_run_without_a_report_of_ctest_fails(self):
        results, _ = run_summary({})
        self.assertEqual(results.count(summary.FAILED), 1)


class Layers(unittest.TestCase):
    def check(self, layers, files):
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            for name, text in {"tools/layers.txt": layers, "src/CMakeLists.txt": "", **files}.items():
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).write_text(text)
            return check_layers.check(root)[0]

    LAYERS = "0 base :\n1 tensor : base\n2 ops : base tensor\n2 io : base tensor\n"

    def test_an_allowed_edge_that_cmake_links_is_fine(self):
        self.assertEqual(self.check(self.LAYERS, {
            "src/base/a.h": "", "src/io/b.cpp": '#include "base/a.h"\n', "src/io/CMakeLists.txt": "r1_library(NAME io DEPENDS base)"}), [])

    def test_an_edge_upwards_is_refused_with_its_place(self):
        problems = self.check(self.LAYERS, {"src/base/a.h": '\n#include "ops/x.h"\n', "src/ops/x.h": ""})
        self.assertTrue(any(p.startswith("src/base/a.h:2: 'base' may not include") for p in problems), problems)

    def test_an_include_that_cmake_does_not_link_is_refused(self):
        problems = self.check(self.LAYERS, {
            "src/io/b.cpp": '#include "tensor/t.h"\n', "src/io/CMakeLists.txt": "r1_library(NAME io DEPENDS base)"})
        self.assertTrue(any("DEPENDS" in p for p in problems), problems)

    def test_a_link_that_the_table_does_not_list_is_refused(self):
        problems = self.check(self.LAYERS, {"src/base/a.h": "", "src/base/CMakeLists.txt": "r1_library(NAME base DEPENDS tensor LINK x)"})
        self.assertTrue(any("CMake links 'base' with 'tensor'" in p for p in problems), problems)

    def test_a_table_with_an_edge_to_its_own_level_is_refused(self):
        self.assertTrue(self.check("0 base :\n1 io : base\n1 text : io\n", {"src/base/a.h": ""}))

    def test_a_folder_without_a_line_is_refused(self):
        self.assertTrue(any("src/new" in p for p in self.check(self.LAYERS, {"src/new/a.h": ""})))

    def test_memory_of_tensors_is_for_the_backends(self):
        include = '#include "tensor/raw_access.h"\n'
        cmake = {f"src/{f}/CMakeLists.txt": f"r1_library(NAME {f} DEPENDS base tensor)" for f in ("ops", "io")}
        self.assertEqual(self.check(self.LAYERS, {"src/ops/cpu/a.cpp": include, "src/tensor/raw_access.h": "", **cmake}), [])
        for place in ("src/ops/a.cpp", "src/io/a.cpp", "apps/a.cpp"):
            self.assertTrue(any("raw_access" in p for p in self.check(self.LAYERS, {place: include, "src/tensor/t.h": "", **cmake})), place)

    def test_a_cycle_is_named(self):
        self.assertEqual(check_layers.find_cycle({("a", "b"): "", ("b", "c"): "", ("c", "a"): ""}), ["a", "b", "c", "a"])

    def test_the_program_fails_when_the_tree_does(self):
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "tools").mkdir()
            (Path(folder) / "src" / "new").mkdir(parents=True)
            (Path(folder) / "tools" / "layers.txt").write_text(self.LAYERS)
            program = HERE.parent.parent / "tools" / "check_layers.py"
            self.assertEqual(subprocess.run([sys.executable, program, "--root", folder], capture_output=True).returncode, 1)


if __name__ == "__main__":
    unittest.main()
