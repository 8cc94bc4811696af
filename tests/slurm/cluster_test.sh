#!/usr/bin/env bash
# tests/slurm/cluster: up within five seconds, two side by side, and nothing left behind. usage: tests/slurm/cluster_test.sh FOLDER_OF_THE_PROGRAMS
set -euo pipefail
export R1_BIN="${1:?folder of the programs}"
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
tests/slurm/cluster check || exit $?

work="$(mktemp -d /tmp/r1-cluster-test-XXXXXX)"
trap 'for name in a b; do tests/slurm/cluster down "$work/$name" >/dev/null || true; done; rm -rf "$work"' EXIT
failures=0
fail() {
  echo "FAILED: $1"
  failures=$((failures + 1))
}

# Processes that hold something of this test's folder: as their program's argument, working folder, or environment.
left_over() {
  local entry
  for entry in /proc/[0-9]*; do
    [[ "$entry" != "/proc/$$" && "$entry" != "/proc/$BASHPID" ]] || continue
    if [[ "$(readlink "$entry/cwd" 2>/dev/null)" == "$work"/* ]] || grep -qsaF "$work/" "$entry/cmdline" "$entry/environ"; then
      [[ "$(awk '/^State:/ {print $2}' "$entry/status" 2>/dev/null)" =~ ^[ZX]?$ ]] || tr '\0' ' ' <"$entry/cmdline"
    fi
  done
}

started="$(date +%s%N)"
tests/slurm/cluster up "$work/a" >"$work/select"
milliseconds=$((($(date +%s%N) - started) / 1000000))
((milliseconds <= 5000)) || fail "up took $milliseconds ms"
tests/slurm/cluster up "$work/b" >/dev/null || fail "no second cluster beside the first"
for name in a b; do
  [[ "$(tests/slurm/cluster status "$work/$name" | grep -c '^n[12] hopper-prod.* idle')" == 2 ]] || fail "cluster $name: not two idle nodes"
done
if tests/slurm/cluster up "$work/a" >/dev/null 2>&1; then fail "up started over a running cluster"; fi

# What up printed selects the cluster; a job that still runs ends with it.
(
  eval "$(<"$work/select")"
  sbatch --quiet --nodes=2 --output="$work/job.out" --wrap "srun --ntasks=2 sleep 600"
  for ((try = 0; try < 100; try++)); do [[ "$(squeue -h -t R | wc -l)" == 1 ]] && break; sleep 0.1; done
  [[ "$(squeue -h -t R | wc -l)" == 1 ]]
) || fail "a job does not run"

tests/slurm/cluster down "$work/a"
[[ "$(tests/slurm/cluster status "$work/b" | grep -c idle)" -ge 2 ]] || fail "stopping one cluster hurt the other"
tests/slurm/cluster down "$work/b"
[[ ! -e "$work/a" && ! -e "$work/b" ]] || fail "folders are left behind"
if grep -F "$work" /proc/mounts; then fail "mounts are left behind"; fi
rest="$(left_over)"
[[ -z "$rest" ]] || fail "processes are left behind: $rest"

mkdir "$work/foreign"
if tests/slurm/cluster down "$work/foreign" >/dev/null 2>&1; then fail "down took a folder that is no cluster's"; fi
[[ -d "$work/foreign" ]] || fail "down removed a folder that is no cluster's"

((failures == 0)) || exit 1
echo "the cluster: passed in $SECONDS s; up in $milliseconds ms"
