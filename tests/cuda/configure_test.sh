#!/usr/bin/env bash
# What R1_CUDA=AUTO, ON and OFF do where nvcc is broken or missing, and where it works: the text and the exit code of CMake.
set -euo pipefail

source=$(cd "$(dirname "$0")/../.." && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

configure() {
  cmake -G Ninja -S "$source" -B "$folder/build" "-DR1_FOLDERS=base;tensor;ops;cuda" -DR1_BUILD_TOOLS=OFF -DR1_BUILD_TESTS=OFF "$@" >"$folder/out" 2>&1
}
fail() {
  echo "FAILED: $*"
  cat "$folder/out"
  exit 1
}
# expect EXIT_CODE TEXT ARGUMENTS…
expect() {
  local wanted=$1 text=$2 code=0
  shift 2
  configure "$@" || code=$?
  [[ $((code != 0)) == "$wanted" ]] || fail "$*: exit code $code"
  tr -s ' \n' ' ' <"$folder/out" | grep -qF -- "$text" || fail "$*: expected '$text'"
}
built() { (cd "$folder/build" && ninja -t targets all | grep -c '^bin/libr1_cuda.so:') || true; }

expect 0 "CUDA module: off (R1_CUDA=OFF)" -DR1_CUDA=OFF
[[ $(built) == 0 ]] || fail "OFF has a module"
expect 1 "R1_CUDA: expected AUTO, ON or OFF, found 'perhaps'" -DR1_CUDA=perhaps

# A compiler that fails, as one does with a host compiler that is too new.
expect 0 "cannot compile a kernel for 80;90; the programs run on the CPU" -DR1_CUDA=AUTO -DR1_NVCC=/bin/false \
  -DR1_CUDA_INCLUDE="$folder" -DR1_CUBLASLT_INCLUDE="$folder" -DR1_NCCL_INCLUDE="$folder" -DR1_CUDART_STATIC="$folder/libcudart_static.a"
[[ $(built) == 0 ]] || fail "AUTO has a module without a compiler"
expect 1 "R1_CUDA=ON, but /bin/false cannot compile a kernel" -DR1_CUDA=ON

# A part of the toolkit is missing: it is named.
rm -rf "$folder/build"
expect 0 "CUDA module: not built: R1_CUDART_STATIC (" -DR1_CUDA=AUTO -DR1_NVCC=/bin/true \
  -DR1_CUDA_INCLUDE="$folder" -DR1_CUBLASLT_INCLUDE="$folder" -DR1_NCCL_INCLUDE="$folder" -DR1_CUDART_STATIC=
grep -q "the programs run on the CPU" "$folder/out" || fail "AUTO says what follows"
expect 1 "R1_CUDA=ON, but R1_CUDART_STATIC (" -DR1_CUDA=ON

if command -v nvcc >/dev/null || [[ -x /usr/local/cuda/bin/nvcc ]]; then
  rm -rf "$folder/build"
  configure -DR1_CUDA=AUTO -DR1_CUDA_ARCHITECTURES=90 || fail "AUTO with nvcc"
  if grep -q "CUDA module: libr1_cuda.so for 90" "$folder/out"; then
    [[ $(built) == 1 ]] || fail "AUTO has no module although it says so"
    expect 0 "CUDA module: libr1_cuda.so for 90" -DR1_CUDA=ON
  else
    echo "nvcc does not work here: the part with a module is left out"
  fi
else
  echo "no nvcc here: the part with a module is left out"
fi
echo "passed"
