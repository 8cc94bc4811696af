# shellcheck shell=bash
# What the Slurm tests share; a test sources it with the folder of the programs as first argument. It starts a cluster of the test's own and
# changes into a copy of the project whose path holds a space, from where jobs are submitted; all of it goes when the test ends.
set -euo pipefail
export R1_BIN="${1:?folder of the programs}"
source_folder="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
"$source_folder/tests/slurm/cluster" check || exit $?

work="$(mktemp -d /tmp/r1-slurm-test-XXXXXX)"
cluster="$work-cluster"
clean_up() {
  "$source_folder/tests/slurm/cluster" down "$cluster"
  if mountpoint -q "$work/full"; then umount "$work/full"; fi
  rm -rf "$work"
}
trap clean_up EXIT

# Submitting must not depend on what the caller's shell has set.
unset "${!SBATCH_@}" "${!SLURM_@}" R1_HOME R1_RECIPES R1_MODELS R1_DATA R1_LAUNCHER R1_RANKS_PER_NODE
project="$work/open r1"
mkdir -p "$project/tests"
cp -r "$source_folder"/{slurm,scripts,recipes,accelerate_configs,assets,tools,Makefile} "$project"
cp -r "$source_folder/tests/slurm" "$project/tests"
cd "$project"

# A folder on a file system of half a megabyte; mounted before the cluster's nodes take their view of the mounts.
mkdir "$work/full"
mount -t tmpfs -o size=512k tmpfs "$work/full" 2>/dev/null || true

eval "$(tests/slurm/cluster up "$cluster")"
export SLURM_CONF R1_SLURM_ENV

failures=0
# fail MESSAGE [LOG]
fail() {
  echo "FAILED: $1"
  [[ -z "${2:-}" ]] || tail -n 25 "$2" || true
  failures=$((failures + 1))
}

# The last line of a test.
end_of_test() {
  ((failures == 0)) || { echo "$failures failures"; exit 1; }
  echo "$1: passed in $SECONDS s"
}

# A field of scontrol show job. field_of JOB NAME
field_of() { scontrol show job "$1" 2>/dev/null | grep -oE "(^| )$2=[^ ]*" | head -n 1 | cut -d = -f 2-; }

# Submits a job; sets `job` and `log`. submit ARGUMENTS OF SBATCH…
submit() {
  job="$(timeout 20 sbatch --parsable "--output=$work/job %j.out" "$@")" || { fail "sbatch refused: $*"; job=""; }
  log="$work/job $job.out"
}

# Waits until a job has ended; sets `state` and `log`. wait_for JOB [SECONDS]
wait_for() {
  local deadline=$((SECONDS + ${2:-90}))
  log="$work/job $1.out"
  while true; do
    state="$(field_of "$1" JobState)"
    case "$state" in COMPLETED | FAILED | CANCELLED | TIMEOUT | NODE_FAIL | PREEMPTED) return ;; esac
    if ((SECONDS > deadline)); then
      fail "job $1 did not end within ${2:-90} s: $state" "$log"
      scancel "$1"
      return
    fi
    sleep 0.2
  done
}

# Waits until a file has a line that matches. wait_for_line PATTERN FILE [SECONDS]
wait_for_line() {
  local deadline=$((SECONDS + ${3:-60}))
  until grep -qE -- "$1" "$2" 2>/dev/null; do
    if ((SECONDS > deadline)); then
      fail "no line '$1' in $2 within ${3:-60} s" "$2"
      return 1
    fi
    sleep 0.1
  done
}

# A job that has ended well; its log shows a rank on each of its nodes. expect_completed JOB NAME [RANKS]
expect_completed() {
  wait_for "$1"
  [[ "$state" == COMPLETED && "$(field_of "$1" ExitCode)" == 0:0 ]] || fail "$2: job $1 is $state, exit code $(field_of "$1" ExitCode)" "$log"
  [[ -z "${3:-}" ]] || grep -qxF -- "$3" "$log" || fail "$2: its log does not have the line '$3'" "$log"
  local try
  # Slurm writes the completion log a moment later.
  for ((try = 0; try < 20; try++)); do
    grep -qE "^JobId=$1 .*JobState=COMPLETED" "$cluster/log/jobcomp.txt" && return
    sleep 0.1
  done
  fail "$2: the completion log has no COMPLETED for job $1"
}

# The processes of a program of a job, on one node or all; another test's cluster has jobs of the same numbers. processes_of JOB PROGRAM [NODE]
processes_of() {
  local entry environment
  for entry in /proc/[0-9]*; do
    [[ "$(readlink "$entry/exe" 2>/dev/null)" == */"$2" ]] || continue
    environment="$(tr '\0' '\n' <"$entry/environ" 2>/dev/null)" || continue
    grep -qx "SLURM_JOB_ID=$1" <<<"$environment" && grep -qxF "SLURM_CONF=$SLURM_CONF" <<<"$environment" || continue
    [[ -z "${3:-}" ]] || grep -qx "SLURMD_NODENAME=$3" <<<"$environment" || continue
    echo "${entry#/proc/}"
  done
}
