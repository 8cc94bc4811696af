# shellcheck shell=bash
# What the templates share. The template sets `template` (its name) and changes into the project's folder, then sources this.

# The last line of a job that cannot go on: what happened and what to do. die CODE MESSAGE
die() {
  local code="$1" template="${template:-slurm}"
  shift
  echo "$template: $*" >&2
  exit "$code"
}

# R1_SLURM_ENV names another site file, such as that of tests/slurm/cluster.
site_file="${R1_SLURM_ENV:-slurm/env.sh}"
[[ -f "$site_file" ]] || die 2 "expected the site's settings in '$site_file', found no such file"
# shellcheck source=slurm/env.sh
source "$site_file"

R1_JOB_STATE="${R1_JOB_STATE:-data/.slurm}"
R1_RECIPES="${R1_RECIPES:-recipes}"
export R1_BIN="${R1_BIN:-build/bin}" R1_DEVICE="${R1_DEVICE:-auto}"

nodes="${SLURM_JOB_NUM_NODES:-1}"
ranks_per_node="${R1_RANKS_PER_NODE:-${SLURM_GPUS_ON_NODE:-1}}"
[[ "$ranks_per_node" =~ ^[1-9][0-9]*$ ]] || die 2 "expected a number of ranks per node, found '$ranks_per_node'; R1_RANKS_PER_NODE in $site_file sets it"
ranks=$((nodes * ranks_per_node))

# Fails before any GPU hour when the programs are not there. need_program NAME
need_program() {
  [[ -x "$R1_BIN/$1" ]] || die 2 "expected the program '$R1_BIN/$1', found none; 'make build' builds it, R1_BIN in $site_file says where it is"
}

launcher=()
case "${R1_LAUNCHER:-srun}" in
  # --wait: seconds that the others get when one rank has ended; --kill-on-bad-exit: at once when it has failed.
  srun) launcher=(srun --mpi=pmix "--nodes=$nodes" "--ntasks=$ranks" "--ntasks-per-node=$ranks_per_node" --wait=60 --kill-on-bad-exit=1) ;;
  mpirun) launcher=(mpirun --map-by "ppr:$ranks_per_node:node" --oversubscribe) ;;
  *) die 2 "expected R1_LAUNCHER srun or mpirun in $site_file, found '$R1_LAUNCHER'" ;;
esac

# Which machine and which life this is, for whoever reads the log later; the step also shows that every node answers.
report_environment() {
  echo "== ${template:-slurm}: job ${SLURM_JOB_ID:-none}, life $((${SLURM_RESTART_COUNT:-0} + 1)), $(date -u +%Y-%m-%dT%H:%M:%SZ)"
  echo "nodes ${SLURM_JOB_NODELIST:-$(hostname)} · $ranks ranks, $ranks_per_node per node · device $R1_DEVICE · launcher ${launcher[0]} · settings $site_file"
  local placement
  # shellcheck disable=SC2016 # expanded on the node
  placement="$("${launcher[@]}" bash -c 'echo "rank ${PMIX_RANK:-${OMPI_COMM_WORLD_RANK:-0}} on $(hostname)"' | sort -V | paste -sd, | sed 's/,/, /g')" ||
    die 5 "the nodes ${SLURM_JOB_NODELIST:-} could not start $ranks ranks; the launcher's message is above"
  echo "$placement"
}

# Before and after the ranks a signal is only noted: nothing is lost, and the job may still ask to be requeued. The templates do the same
# before this file is read.
asked_to_stop="${asked_to_stop:-0}"
note_signals() { trap 'asked_to_stop=1; echo "== the scheduler asks the job to end"' USR1 TERM; }
[[ -z "${SLURM_JOB_ID:-}" ]] || note_signals

# Runs a command on all ranks and hands USR1 (time limit) and TERM (preemption) on to them, so that they save and exit 85.
# Sets `status`. launch COMMAND…
launch() {
  local step="" interrupted=0
  trap 'interrupted=1 asked_to_stop=1; echo "== the scheduler asks the job to end: saving"; [[ -z "$step" ]] || kill -USR1 "$step" 2>/dev/null || true' USR1 TERM
  status=85
  if ((asked_to_stop)); then
    note_signals
    return
  fi
  "${launcher[@]}" "$@" &
  step=$!
  # The signal may have come while the step was being started.
  ((!asked_to_stop)) || kill -USR1 "$step" 2>/dev/null || true
  while true; do
    interrupted=0
    status=0
    wait "$step" || status=$?
    ((interrupted)) || break
  done
  # Ranks that were only starting have nothing to save, and no answer to USR1 yet.
  ((status != 138)) || status=85
  note_signals
}

# One string that holds several words, split as a shell would: quotes keep spaces and line breaks, a backslash the next character; nothing is
# evaluated. Sets `words`; fails when a quote is not closed. split_words TEXT
split_words() {
  local rest="$1" word="" begun=0 plain
  words=()
  while [[ -n "$rest" ]]; do
    case "${rest:0:1}" in
      [[:space:]])
        ((!begun)) || words+=("$word")
        word="" begun=0 rest="${rest:1}"
        ;;
      \')
        [[ "${rest:1}" == *\'* ]] || return 1
        rest="${rest:1}"
        word+="${rest%%\'*}" begun=1 rest="${rest#*\'}"
        ;;
      '"')
        rest="${rest:1}" begun=1
        while [[ "${rest:0:1}" != '"' ]]; do
          [[ -n "$rest" ]] || return 1
          if [[ "${rest:0:2}" == '\"' || "${rest:0:2}" == '\\' ]]; then rest="${rest:1}"; fi
          word+="${rest:0:1}" rest="${rest:1}"
        done
        rest="${rest:1}"
        ;;
      \\) word+="${rest:1:1}" begun=1 rest="${rest:2}" ;;
      *)
        plain="${rest%%[[:space:]\'\"\\]*}"
        word+="$plain" begun=1 rest="${rest:${#plain}}"
        ;;
    esac
  done
  ((!begun)) || words+=("$word")
}

# A job may be started again any number of times as long as it gets on, and three times when it does not. refuse_endless_restarts PROGRESS
# PROGRESS: a text that changes when something was saved.
refuse_endless_restarts() {
  [[ -n "${SLURM_JOB_ID:-}" ]] || return 0
  mkdir -p "$R1_JOB_STATE"
  state_file="$R1_JOB_STATE/$SLURM_JOB_ID"
  local last="" count=0
  if [[ -f "$state_file" ]] && ((${SLURM_RESTART_COUNT:-0} > 0)); then
    { read -r count && read -r last; } <"$state_file" || true
    if [[ "$last" == "$1" ]]; then count=$((count + 1)); else count=0; fi
    echo "restart ${SLURM_RESTART_COUNT}: saved so far: ${1:-nothing}; restarts without progress: $count"
    ((count <= 3)) || die 1 "started again $count times without progress (${1:-nothing saved}); not starting the ranks. The reason is in the lines before each restart"
  fi
  printf '%s\n%s\n' "$count" "$1" >"$state_file"
}

# Slurm's [days-]hours:minutes:seconds in seconds; nothing for UNLIMITED. seconds_of TIME
seconds_of() {
  if [[ "$1" =~ ^(([0-9]+)-)?([0-9]+):([0-9]+):([0-9]+)$ ]]; then
    echo $((10#${BASH_REMATCH[2]:-0} * 86400 + 10#${BASH_REMATCH[3]} * 3600 + 10#${BASH_REMATCH[4]} * 60 + 10#${BASH_REMATCH[5]}))
  fi
}

# True when Slurm is about to end this job already, because somebody cancelled it, requeued it, or another job takes its place. Requeueing
# such a job would bring back what the user has cancelled. Not so at the time limit: there the job has to ask.
is_ended_by_scheduler() {
  local job run_time limit
  job="$(scontrol show job "$SLURM_JOB_ID")" || return 1
  [[ ! "$job" =~ JobState=RUNNING ]] || return 1
  run_time="$(seconds_of "$(sed -n 's/.*RunTime=\([^ ]*\).*/\1/p' <<<"$job")")"
  limit="$(seconds_of "$(sed -n 's/.*TimeLimit=\([^ ]*\).*/\1/p' <<<"$job")")"
  [[ -z "$limit" || -z "$run_time" ]] || ((run_time < limit))
}

# Ends the job by what the ranks said: requeued on 85 and on nothing else. finish PROGRAM
finish() {
  if ((status == 85)); then
    if is_ended_by_scheduler; then
      echo "== $1 saved everything; Slurm itself has ended job $SLURM_JOB_ID: a preempted or requeued job starts again, a cancelled one does not"
      exit 85
    fi
    echo "== $1 saved everything and asks to be requeued (exit code 85): requeueing job $SLURM_JOB_ID"
    scontrol requeue "$SLURM_JOB_ID" || die 85 "'scontrol requeue $SLURM_JOB_ID' failed; submit the same command again to go on from what was saved"
    # Slurm ends this script now.
    trap - USR1 TERM
    sleep 120
    exit 85
  fi
  rm -f "${state_file:-}"
  ((status == 0)) || die "$status" "$1 ended with exit code $status, which a restart would repeat: not requeued. The rank and the reason are in the lines above"
  echo "== ${template:-slurm}: done"
}
