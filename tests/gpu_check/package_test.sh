#!/usr/bin/env bash
# tools/gpu_check package: a folder of at most 60 MiB that needs nothing but CUDA's libraries, and that runs.
# usage: package_test.sh BIN      exit code 77: the machine lacks what the package is made of
set -euo pipefail

bin=$1
source=$(cd "$(dirname "$0")/../.." && pwd)
for tool in ldd strip python3 mpirun; do
  command -v "$tool" >/dev/null || { echo "no $tool here"; exit 77; }
done
if nm "$bin/r1_all" 2>/dev/null | grep -q __asan_init; then echo "not with sanitizers"; exit 77; fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
fail() { echo "FAILED: $*"; exit 1; }

"$source/tools/gpu_check" package "$folder/package" --bin "$bin"
if "$source/tools/gpu_check" package "$folder/package" --bin "$bin" 2>"$folder/err"; then fail "a folder that is not empty was taken"; fi
grep -q "is not empty" "$folder/err" || fail "$(cat "$folder/err")"

# In a root of its own, by its own loader: nothing but CUDA may be missing.
for file in r1_all gpu_check mpirun libr1_cuda.so; do
  [[ -e $folder/package/bin/$file ]] || continue
  "$folder/package/glibc/ld-linux-x86-64.so.2" --library-path "$folder/package/glibc:$folder/package/lib" --list "$folder/package/bin/$file" >"$folder/list"
  outside=$(awk '/not found/ || /=> \/(usr|lib)/{print $1}' "$folder/list" | grep -vE '^lib(cuda|cudart|cublasLt|cudnn[a-z_]*|nccl)\.so' || true)
  [[ -z $outside ]] || fail "$file needs $outside"
done

# Its programs run from it, and the dry run says that nothing was proven.
env -u R1_CUDA_MODULE LD_LIBRARY_PATH="$folder/package/lib" "$folder/package/bin/r1_train" --version >/dev/null || fail "r1_train of the package"
if [[ ! -e /dev/nvidia0 ]]; then
  "$folder/package/gpu_check" run --output "$folder/results" >"$folder/out" || fail "the dry run: $(cat "$folder/out")"
  grep -q "no device: nothing proven" "$folder/out" || fail "$(cat "$folder/out")"
  [[ -s $folder/results/gpu_check.json ]] || fail "no JSON file"
fi
echo "passed"
