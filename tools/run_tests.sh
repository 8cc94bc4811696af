#!/usr/bin/env bash
# Runs the test suite of a build folder through CTest and ends with the counts of passed, failed and skipped tests and the
# reasons of the skips. Exit code 0 only when nothing failed.
set -euo pipefail

if [[ "${1:-}" == --help ]]; then
  echo "usage: tools/run_tests.sh [BUILD_FOLDER] [CTEST_ARGUMENTS…]      e.g. tools/run_tests.sh build -L unit"
  echo "full random suites (label slow) run with -L slow alone"
  exit 0
fi
source_folder="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
build="$(cd "${1:-$source_folder/build}" && pwd)"
shift || true

results="$build/test-results"
rm -rf "$results"
mkdir -p "$results"

# The machine may be small, and some tests start several ranks: two tests at a time.
jobs="$(nproc)"
if ((jobs > 2)); then jobs=2; fi

# Open MPI refuses root, as in a container, without these two.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export GTEST_OUTPUT="xml:$results/"

# Full random suites take hours: they run when asked for, with -L slow.
selection=(-LE '^slow$')
for argument in "$@"; do
  if [[ "$argument" == *slow* ]]; then selection=(); fi
done

status=0
ctest --test-dir "$build" -j "$jobs" --output-on-failure --output-junit "$results/ctest.junit" "${selection[@]}" "$@" || status=$?
python3 "$source_folder/tests/summary/summary.py" "$results" || status=$?
exit "$status"
