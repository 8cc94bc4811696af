#!/usr/bin/env bash
# Fetches the headers of cuDNN's frontend, out of which libr1_cuda.so makes its attention graphs: header-only, out of a Python wheel, pinned
# by version and hash. Nothing is done when they are there or where nvcc is not. Without them attention runs on our own kernels.
# They go to ${R1_DEPS:-${XDG_CACHE_HOME:-~/.cache}/open_r1_hpc}.
set -euo pipefail

version=1.32.0
wheel_hash=c6006556017a4d1c914c52a556c71b1267f2d6a0500f742e7b4edef539878df0 # nvidia_cudnn_frontend-1.32.0-cp311-cp311-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl

case "${1:-}" in
  "") ;;
  --help | -h)
    echo "usage: tools/install_cudnn_frontend.sh"
    echo "Fetches the headers of cuDNN's frontend ($version) that attention through cuDNN is built with, where nvcc is found."
    exit 0
    ;;
  *)
    echo "tools/install_cudnn_frontend.sh: unknown argument '$1' (see --help)" >&2
    exit 2
    ;;
esac

target="${R1_DEPS:-${XDG_CACHE_HOME:-$HOME/.cache}/open_r1_hpc}/cudnn-frontend-$version"
if [[ -e "$target/complete" ]]; then exit 0; fi
nvcc="$(PATH="$PATH:${CUDA_HOME:-/usr/local/cuda}/bin:${CUDA_PATH:-/usr/local/cuda}/bin" command -v nvcc || true)"
if [[ -z "$nvcc" ]]; then exit 0; fi

pip=(python3 -m pip)
if ! "${pip[@]}" --version >/dev/null 2>&1; then
  echo "note: python3 has no pip (package python3-pip), so cuDNN's frontend was not fetched: attention on GPUs uses our own kernels"
  exit 0
fi

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
echo "fetching the headers of cuDNN's frontend ($version)"
echo "nvidia-cudnn-frontend==$version --hash=sha256:$wheel_hash" >"$work/requirements.txt"
# The headers are the same for every processor and Python; one wheel is pinned.
if ! "${pip[@]}" download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --require-hashes \
  --implementation cp --python-version 3.11 --abi cp311 --platform manylinux_2_28_x86_64 \
  --dest "$work" --requirement "$work/requirements.txt" >"$work/log" 2>&1; then
  tail -n 5 "$work/log"
  echo "note: cuDNN's frontend could not be fetched: attention on GPUs uses our own kernels until tools/install_cudnn_frontend.sh succeeds"
  exit 0
fi

mkdir -p "$target"
python3 - "$work"/nvidia_cudnn_frontend-*.whl "$target" <<'PYTHON'
import sys
import zipfile
from pathlib import Path

wheel, target = zipfile.ZipFile(sys.argv[1]), Path(sys.argv[2])
for name in wheel.namelist():
    path = Path(name)
    if name.endswith("/"):
        continue
    if path.parts[0] == "include":
        out = target / path
    elif "licenses" in path.parts:
        out = target / "licenses" / path.name
    else:
        continue
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(wheel.read(name))
PYTHON
touch "$target/complete"
echo "cuDNN's frontend $version is in $target"
