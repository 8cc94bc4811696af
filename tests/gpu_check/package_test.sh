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

# Without the module a package proves nothing, and must be asked for.
mkdir "$folder/bin"
for file in r1_all gpu_check; do ln -s "$(realpath "$bin/$file")" "$folder/bin/$file"; done
if "$source/tools/gpu_check" package "$folder/none" --bin "$folder/bin" 2>"$folder/err"; then fail "a package without the module"; fi
grep -q -- "--without-cuda" "$folder/err" || fail "$(cat "$folder/err")"

without=()
[[ -e $bin/libr1_cuda.so ]] || without=(--without-cuda)
"$source/tools/gpu_check" package "$folder/package" --bin "$bin" "${without[@]}"
if "$source/tools/gpu_check" package "$folder/package" --bin "$bin" "${without[@]}" 2>"$folder/err"; then fail "a folder that is not empty was taken"; fi
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
if [[ ! -e /dev/nvidia0 && ! -e /dev/nvidiactl ]]; then
  "$folder/package/gpu_check" run --output "$folder/results" >"$folder/out" || fail "the dry run: $(cat "$folder/out")"
  grep -q "no device: nothing proven" "$folder/out" || fail "$(cat "$folder/out")"
  [[ -s $folder/results/gpu_check.json ]] || fail "no JSON file"
  # A GPU that the module cannot use is a failure.
  if R1_GPU_DEVICE_FILES=$folder/out "$folder/package/gpu_check" run --output "$folder/results" >"$folder/out2"; then fail "$(cat "$folder/out2")"; fi
  grep -q "the GPU cannot be used" "$folder/out2" || fail "$(cat "$folder/out2")"
fi

# NVIDIA's wheels beside a Python are found, and PyTorch gets the libraries that the host had.
mkdir -p "$folder/site/nvidia/cudnn/lib" "$folder/fake"
# shellcheck disable=SC2016  # for the script that is written
printf '#!/bin/sh\necho "libraries=$LD_LIBRARY_PATH"; echo "host=$R1_HOST_LIBRARIES"\n' >"$folder/fake/gpu_check"
chmod +x "$folder/fake/gpu_check"
PYTHONPATH=$folder/site LD_LIBRARY_PATH=/of/the/host "$source/tools/gpu_check" run --bin "$folder/fake" --python python3 >"$folder/environment"
grep -q "^libraries=/of/the/host:.*$folder/site/nvidia/cudnn/lib" "$folder/environment" || fail "$(cat "$folder/environment")"
grep -q "^host=/of/the/host$" "$folder/environment" || fail "$(cat "$folder/environment")"
if "$source/tools/gpu_check" run --bin "$folder/fake" --python "$folder/no_python" 2>"$folder/err"; then fail "a Python that is not there"; fi

# With fixtures: the stand-in device reads them in the package, where there are some and a stand-in.
module=$(dirname "$bin")/tests/libr1_cuda_stand_in.so
if [[ -d $folder/package/fixtures && -e $module && ! -e /dev/nvidia0 ]]; then
  ls "$folder"/package/fixtures/*.tar.gz >/dev/null
  cp "$module" "$folder/package/bin/libr1_cuda.so"
  "$folder/package/gpu_check" run --only fixtures --output "$folder/fixtures" >"$folder/out3" || fail "fixtures: $(cat "$folder/out3")"
  grep -q "^qwen2_bf16 *passed" "$folder/out3" || fail "$(cat "$folder/out3")"
fi
echo "passed"
