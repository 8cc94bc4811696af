#!/usr/bin/env bash
# Fetches Apache Arrow's C++ libraries for the Parquet module: headers, libarrow and libparquet out of the pyarrow wheel, pinned by
# version and hash. Nothing is done when they are there, when the system has its own Arrow, or on another architecture.
# Without them everything but .parquet files works. They go to ${R1_DEPS:-${XDG_CACHE_HOME:-~/.cache}/open_r1_hpc}.
set -euo pipefail

version=26.0.1
wheel_hash=39cb0f2418282c24bea6ceda77b03e5a8f0a5766b63a8bf194d4e2a2c423548c # pyarrow-26.0.1-cp311-cp311-manylinux_2_28_x86_64.whl

case "${1:-}" in
  "") ;;
  --help | -h)
    echo "usage: tools/install_arrow.sh"
    echo "Fetches the Arrow and Parquet C++ libraries (pyarrow $version, 55 MB) that reading and writing .parquet files needs."
    exit 0
    ;;
  *)
    echo "tools/install_arrow.sh: unknown argument '$1' (see --help)" >&2
    exit 2
    ;;
esac

target="${R1_DEPS:-${XDG_CACHE_HOME:-$HOME/.cache}/open_r1_hpc}/arrow-$version"
if [[ -e "$target/complete" ]]; then exit 0; fi
if command -v pkg-config >/dev/null 2>&1 && pkg-config --exists parquet; then exit 0; fi
if [[ "$(uname -m)" != x86_64 ]]; then
  echo "note: no pinned Arrow for $(uname -m); install libparquet-dev by hand to read .parquet files"
  exit 0
fi

pip=(python3 -m pip)
if ! "${pip[@]}" --version >/dev/null 2>&1; then
  echo "note: python3 has no pip (package python3-pip), so Arrow was not fetched: .parquet files cannot be read"
  exit 0
fi

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
echo "fetching Arrow and Parquet C++ libraries (pyarrow $version)"
echo "pyarrow==$version --hash=sha256:$wheel_hash" >"$work/requirements.txt"
if ! "${pip[@]}" download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --require-hashes \
  --implementation cp --python-version 3.11 --abi cp311 --platform manylinux_2_28_x86_64 \
  --dest "$work" --requirement "$work/requirements.txt" >"$work/log" 2>&1; then
  tail -n 5 "$work/log"
  echo "note: Arrow could not be fetched: .parquet files cannot be read until tools/install_arrow.sh succeeds"
  exit 0
fi

mkdir -p "$target"
python3 - "$work"/pyarrow-*.whl "$target" <<'PYTHON'
import sys
import zipfile
from pathlib import Path

wheel, target = zipfile.ZipFile(sys.argv[1]), Path(sys.argv[2])
for name in wheel.namelist():
    path = Path(name)
    if name.startswith("pyarrow/include/") and "python" not in path.parts:
        out = target / path.relative_to("pyarrow")
    elif path.parent.name == "pyarrow" and path.name.startswith(("libarrow.so.", "libparquet.so.")):
        out = target / "lib" / path.name
    elif "licenses" in name.lower() or path.name in ("LICENSE.txt", "NOTICE.txt"):
        out = target / "licenses" / path.name
    else:
        continue
    if name.endswith("/"):
        continue
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(wheel.read(name))
PYTHON
touch "$target/complete"
echo "Arrow $version is in $target"
