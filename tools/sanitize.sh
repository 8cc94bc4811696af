#!/usr/bin/env bash
# Builds the tests of the folders that read foreign bytes with AddressSanitizer and UndefinedBehaviorSanitizer, and runs them.
# Narrow on purpose: three test binaries and the libraries below them.
set -euo pipefail

if [[ "${1:-}" == --help ]]; then
  echo "usage: tools/sanitize.sh [BUILD_FOLDER] [TEST…]      default: build-asan io_test text_test verify_test"
  exit 0
fi
source_folder="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
build="${1:-$source_folder/build-asan}"
shift || true
wanted=("$@")
if ((${#wanted[@]} == 0)); then wanted=(io_test text_test verify_test); fi

launcher=()
if command -v ccache >/dev/null 2>&1; then launcher=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache); fi
mkdir -p "$build"
cmake -S "$source_folder" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=None -DCMAKE_CXX_FLAGS=-O1 -DR1_SANITIZE=ON -DR1_BUILD_TOOLS=OFF \
  "${launcher[@]}" >"$build/configure.log" 2>&1 || { cat "$build/configure.log"; exit 1; }

known="$(cmake --build "$build" --target help)"
tests=()
for name in "${wanted[@]}"; do
  if grep -q "^$name: phony" <<<"$known"; then tests+=("$name"); else echo "no test $name in this tree" >&2; fi
done
if ((${#tests[@]} == 0)); then
  echo "none of these tests exists: ${wanted[*]}" >&2
  exit 1
fi
nice cmake --build "$build" -j "${R1_SANITIZE_JOBS:-2}" --target "${tests[@]}"

# The suite's own results lie beside it; these get a folder of their own.
if [[ -n "${GTEST_OUTPUT:-}" ]]; then export GTEST_OUTPUT="${GTEST_OUTPUT%/}/asan/"; fi
export ASAN_OPTIONS="${ASAN_OPTIONS:-detect_leaks=1:strict_string_checks=1:detect_stack_use_after_return=1}"
export UBSAN_OPTIONS="${UBSAN_OPTIONS:-print_stacktrace=1}"
status=0
for name in "${tests[@]}"; do
  "$build/tests/$name" --gtest_brief=1 || status=1
done
exit "$status"
