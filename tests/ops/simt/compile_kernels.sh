#!/usr/bin/env bash
# Compiles the CUDA kernels with nvcc for sm_80 and sm_90 and holds them to what docs/cuda_kernels.md says: no spills, 128-bit accesses.
# Prints one line a kernel: architecture, registers, static shared memory, bytes of stack, 128-bit loads and stores, name.
# The 128-bit columns need cuobjdump; without it they are "-".
set -euo pipefail

if [[ "${1:-}" == --help ]]; then
  echo "usage: tests/ops/simt/compile_kernels.sh [--quick | FILE.cu…]      default: all of src/ops/cuda; exit 77 without nvcc"
  echo "--quick: one file for sm_90, as in the test suite; with R1_TEST_FULL=1 everything"
  exit 0
fi
source_folder="$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)"
nvcc="$(command -v nvcc || true)"
if [[ -z "$nvcc" ]]; then
  echo "SKIPPED: no nvcc in PATH: the CUDA kernels were not compiled"
  exit 77
fi
cuobjdump="${CUOBJDUMP:-$(command -v cuobjdump || true)}"
architectures=(80 90)
files=("$@")
if [[ "${1:-}" == --quick ]]; then
  files=()
  if [[ "${R1_TEST_FULL:-0}" != 1 ]]; then
    architectures=(90)
    files=("$source_folder/src/ops/cuda/norm.cu")
    echo "one file for one architecture; R1_TEST_FULL=1 compiles all kernels for sm_80 and sm_90"
  fi
fi
if ((${#files[@]} == 0)); then files=("$source_folder"/src/ops/cuda/*.cu); fi
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

status=0
for arch in "${architectures[@]}"; do
  for file in "${files[@]}"; do
    name="$(basename "$file" .cu)_$arch"
    # fmt checks format strings at compile time in a way that nvcc does not follow: FMT_CONSTEVAL= leaves that to the host compiler.
    "$nvcc" -std=c++20 "-arch=sm_$arch" -cubin "-I$source_folder/src" --expt-relaxed-constexpr -DFMT_CONSTEVAL= -Xptxas -v \
      -o "$work/$name.cubin" "$file" >"$work/$name.log" 2>&1 || { cat "$work/$name.log"; exit 1; }
    if grep -E "error|warning" "$work/$name.log"; then status=1; fi
    if [[ -n "$cuobjdump" ]]; then "$cuobjdump" -sass "$work/$name.cubin" >"$work/$name.sass"; else : >"$work/$name.sass"; fi
    awk -v arch="sm_$arch" '
      { is_sass = FILENAME ~ /sass$/ }
      is_sass && /Function :/ { kernel = $3; next }
      is_sass && /LDG\.E[.A-Z]*\.128/ { loads[kernel]++; next }
      is_sass && /STG\.E[.A-Z]*\.128/ { stores[kernel]++; next }
      is_sass { next }
      /Compiling entry function/ { split($0, part, "\047"); kernel = part[2] }
      /bytes stack frame/ { stack = $1; spills = $5 + $9 }
      /Used [0-9]+ registers/ {
        registers = $5; shared = 0
        if (match($0, /[0-9]+ bytes smem/)) shared = substr($0, RSTART, RLENGTH) + 0
        printf "%s %3d %6d %4d %3s %3s %s\n", arch, registers, shared, stack, loads[kernel] + 0, stores[kernel] + 0, kernel
        if (spills > 0) { printf "SPILLS: %d bytes in %s\n", spills, kernel; bad = 1 }
        # An instantiation for 16-byte pieces without a 128-bit access would be a mistake: see the widths in the name.
      }
      END { exit bad }' "$work/$name.sass" "$work/$name.log" >"$work/$name.table" || status=1
    [[ -n "$cuobjdump" ]] || sed -i 's/^\(sm_.. *[0-9]* *[0-9]* *[0-9]*\) *0 *0 /\1   -   - /' "$work/$name.table"
    if command -v c++filt >/dev/null 2>&1; then c++filt <"$work/$name.table"; else cat "$work/$name.table"; fi
    if [[ -n "$cuobjdump" ]] && ! grep -qE 'LDG\.E[.A-Z]*\.128' "$work/$name.sass"; then
      echo "NO 128-BIT LOAD in $file for sm_$arch"
      status=1
    fi
  done
done
exit "$status"
