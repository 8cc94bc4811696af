#!/usr/bin/env bash
# Installs what building, testing and running need, from the distribution's packages (Debian 12; Ubuntu 24.04 intended).
# Prints what it installs; when nothing is missing it returns at once. --list prints the packages and installs nothing.
set -euo pipefail

# What comes out of Python wheels is last: the libraries for .parquet files and, where nvcc is, the headers for attention through cuDNN.
# Without a network they are left out with a note.
fetch_from_wheels() {
  local folder
  folder="$(dirname "${BASH_SOURCE[0]}")"
  "$folder/install_arrow.sh"
  "$folder/install_cudnn_frontend.sh"
}

# A tool that is there by any route is enough: "command:package".
tools=(g++:g++ gcc:gcc make:make cmake:cmake ninja:ninja-build pkg-config:pkg-config python3:python3 pip3:python3-pip jq:jq)

# tools/cmake/dependencies.cmake and tests/CMakeLists.txt say which of them is for what.
packages=(
  libfmt-dev nlohmann-json3-dev libsimdjson-dev libyaml-cpp-dev libboost-program-options-dev
  libcurl4-openssl-dev libssl-dev libxxhash-dev libpcre2-dev libutf8proc-dev
  libopenmpi-dev openmpi-bin libhdf5-openmpi-dev
  libflint-dev libgmp-dev
  libgtest-dev libgmock-dev
  slurm-wlm munge shellcheck
)
# Arb is a package of its own until FLINT 3 takes it in; the formatter is version 14 or none (tools/format.sh); the browser runs the report in a test.
packages_if_offered=(libflint-arb-dev clang-format-14 chromium)

case "${1:-}" in
  "") ;;
  --list)
    printf '%s\n' "${tools[@]#*:}" "${packages[@]}" "${packages_if_offered[@]}"
    exit 0
    ;;
  --help | -h)
    echo "usage: tools/install_deps.sh [--list]"
    echo "Installs the packages that are missing; --list prints all of them and installs nothing."
    exit 0
    ;;
  *)
    echo "tools/install_deps.sh: unknown argument '$1' (see --help)" >&2
    exit 2
    ;;
esac

missing=()
for entry in "${tools[@]}"; do
  command -v "${entry%%:*}" >/dev/null 2>&1 || missing+=("${entry#*:}")
done
if ! command -v dpkg-query >/dev/null 2>&1 || ! command -v apt-get >/dev/null 2>&1; then
  echo "tools/install_deps.sh: no apt-get here; install the equivalents of these Debian packages by hand:" >&2
  printf '  %s\n' "${tools[@]#*:}" "${packages[@]}" "${packages_if_offered[@]}" >&2
  exit 2
fi

# One query for all: lines "package status". It fails when one of them is unknown, which is an answer too.
status_lines="$(dpkg-query -W -f '${Package} ${db:Status-Status}\n' "${packages[@]}" "${packages_if_offered[@]}" 2>/dev/null || true)"
installed=" $(awk '$2 == "installed" {print $1}' <<<"$status_lines" | tr '\n' ' ') "
for package in "${packages[@]}"; do
  [[ "$installed" == *" $package "* ]] || missing+=("$package")
done
missing_if_offered=()
for package in "${packages_if_offered[@]}"; do
  [[ "$installed" == *" $package "* ]] || missing_if_offered+=("$package")
done
# A package of the second kind that the distribution does not offer must not send every call to the network.
if ((${#missing[@]} == 0)); then
  offered=()
  for package in "${missing_if_offered[@]}"; do
    if apt-cache show "$package" >/dev/null 2>&1; then offered+=("$package"); fi
  done
  if ((${#offered[@]} == 0)); then
    fetch_from_wheels
    exit 0
  fi
fi

as_root=(env)
if [[ "$(id -u)" != 0 ]]; then
  if ! command -v sudo >/dev/null 2>&1; then
    echo "tools/install_deps.sh: these packages are missing, and installing them needs root or sudo; as root run:" >&2
    echo "  apt-get update && apt-get install --no-install-recommends -y ${missing[*]} ${missing_if_offered[*]}" >&2
    exit 2
  fi
  as_root=(sudo env)
fi
run_apt() { "${as_root[@]}" DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 -qq "$@"; }

echo "reading the package lists"
run_apt update
for package in "${missing_if_offered[@]}"; do
  if apt-cache show "$package" >/dev/null 2>&1; then missing+=("$package"); fi
done
if ((${#missing[@]} == 0)); then
  fetch_from_wheels
  exit 0
fi
echo "installing: ${missing[*]}"
log="$(mktemp)"
if ! run_apt install --no-install-recommends -y "${missing[@]}" >"$log" 2>&1; then
  tail -n 40 "$log" >&2
  echo "tools/install_deps.sh: apt-get could not install them; its last lines are above, all of them in $log" >&2
  exit 1
fi
rm -f "$log"
echo "installed ${#missing[@]} packages and what they need"
fetch_from_wheels
