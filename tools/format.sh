#!/usr/bin/env bash
# Formats the project's C++ sources with clang-format; --check changes nothing and fails when a file would change.
# Only version 14 is used: others lay out some lines differently.
set -euo pipefail

case "${1:-}" in
  "" | --check) ;;
  --help) echo "usage: tools/format.sh [--check]"; exit 0 ;;
  *) echo "tools/format.sh: unknown argument '$1' (see --help)" >&2; exit 2 ;;
esac
cd "$(dirname "${BASH_SOURCE[0]}")/.."
formatter=""
for candidate in clang-format-14 clang-format; do
  if command -v "$candidate" >/dev/null 2>&1 && "$candidate" --version | grep -q 'version 14\.'; then
    formatter="$candidate"
    break
  fi
done
if [[ -z "$formatter" ]]; then
  echo "skipped: no clang-format 14 here (package clang-format)"
  exit 77
fi
mode=(-i)
if [[ "${1:-}" == --check ]]; then mode=(--dry-run -Werror); fi
# Tracked files, or all of them in a tree without git.
{
  git ls-files -z -- '*.h' '*.cpp' '*.cu' '*.cuh' 2>/dev/null ||
    find apps src tests tools \( -name '*.h' -o -name '*.cpp' -o -name '*.cu' -o -name '*.cuh' \) -print0
} | xargs -0 -r "$formatter" --style=file "${mode[@]}"
