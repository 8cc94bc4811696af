#!/usr/bin/env bash
# Builds the tests of the folders that read foreign bytes, and the emulated CUDA kernels (simt), with AddressSanitizer and
# UndefinedBehaviorSanitizer, and runs them.
# Narrow on purpose: these folders and what lies below them, nothing else is configured.
set -euo pipefail

if [[ "${1:-}" == --help ]]; then
  echo "usage: tools/sanitize.sh [BUILD_FOLDER] [FOLDER…]      default: build-asan, and io text verify simt"
  echo "simt_model: whole steps of a model on the emulated kernels; builds nearly everything (10 to 20 minutes), so it is not among them"
  exit 0
fi
source_folder="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
build="${1:-$source_folder/build-asan}"
shift || true
folders=("$@")
if ((${#folders[@]} == 0)); then folders=(io text verify simt); fi
simt_folder=ops  # the emulated kernels are tests of ops in a program of their own
# What simt_model stands on beside ops.
model_folders="ops;config;text;verify;report;hub;comm;io;data;rewards;nn;models;parallel;engine;checkpoint;plan;preflight;train"

launcher=()
if command -v ccache >/dev/null 2>&1; then launcher=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache); fi
mkdir -p "$build"
configured=""
for folder in "${folders[@]}"; do
  case "$folder" in
    simt) configured+=";$simt_folder" ;;
    simt_model) configured+=";$model_folders" ;;
    *) configured+=";$folder" ;;
  esac
done
cmake -S "$source_folder" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=None -DCMAKE_CXX_FLAGS=-O1 -DR1_SANITIZE=ON -DR1_BUILD_TOOLS=OFF \
  -DR1_FOLDERS="tensor$configured" "${launcher[@]}" >"$build/configure.log" 2>&1 ||
  { cat "$build/configure.log"; exit 1; }

known="$(cmake --build "$build" --target help)"
tests=()
for folder in "${folders[@]}"; do
  if grep -q "^${folder}_test: phony" <<<"$known"; then tests+=("${folder}_test"); else echo "tests/$folder holds no test"; fi
done
if ((${#tests[@]} == 0)); then
  echo "nothing to run under the sanitizers" >&2
  exit 1
fi
cmake --build "$build" -j "${R1_SANITIZE_JOBS:-2}" --target "${tests[@]}"

# The suite's own results lie beside it; these get a folder of their own.
if [[ -n "${GTEST_OUTPUT:-}" ]]; then export GTEST_OUTPUT="${GTEST_OUTPUT%/}/asan/"; fi
export ASAN_OPTIONS="${ASAN_OPTIONS:-detect_leaks=1:strict_string_checks=1:detect_stack_use_after_return=1}"
export LSAN_OPTIONS="${LSAN_OPTIONS:-suppressions=$source_folder/tests/support/leaks.supp:print_suppressions=0}"
export UBSAN_OPTIONS="${UBSAN_OPTIONS:-print_stacktrace=1}"
status=0
for name in "${tests[@]}"; do
  "$build/tests/$name" --gtest_brief=1 || status=1
done
exit "$status"
