#!/usr/bin/env bash
# A job whose time limit hits twice is requeued twice by itself and ends with the bytes of an uninterrupted run.
# usage: tests/slurm/requeue_test.sh FOLDER_OF_THE_PROGRAMS [time_limit|cancelled|mpirun_launcher|generation|early_signal|scontrol_requeue|preemption|node_failure|no_progress …]
# Without a name: time_limit and cancelled; the others take minutes and run under the label slow.
set -euo pipefail
# shellcheck source=tests/slurm/support.sh
source "$(dirname "${BASH_SOURCE[0]}")/support.sh" "$@"
shift
cases=("$@")
((${#cases[@]} > 0)) || cases=(time_limit cancelled)

training=(slurm/train.slurm Qwen2.5-1.5B-Instruct sft demo zero2)
settings="--dataset_name=builtin/chain:steps=4,rows=6000,seed=0 --max_steps=600 --logging_steps=1 --save_strategy=steps --save_steps=50 --watchdog_seconds=300 --packing=false"

# What a run leaves: the model's bytes, and each step's loss.
fingerprint() {
  sha256sum <"$1/model.safetensors"
  grep -oE '"(step|loss|grad_norm)": *[^,}]*' "$1/metrics.jsonl" | sha256sum
}

# Submits the run over both nodes. start_run NAME ARGUMENTS OF SBATCH…
start_run() {
  local name="$1"
  shift
  submit --nodes=2 "--job-name=$name" "$@" "${training[@]}" "$settings --output_dir=data/$name"
}

# How often the scheduler has asked the job to end so far; the log may not be there yet. times_asked LOG
times_asked() {
  local count
  count="$(grep -c "the scheduler asks the job to end: saving" "$1" 2>/dev/null || true)"
  echo "${count:-0}"
}

# Waits until a life of the job has trained past a step, and holds its ranks there (SIGSTOP), so that what comes does not depend on the
# machine's speed. hold JOB LIFE STEP
hold() {
  local deadline=$((SECONDS + 60)) pids=()
  held=()
  until awk -v life="life $2," -v step="$3" 'index($0, life) {on = 1} on && match($0, /step +[0-9]+/) {
      split(substr($0, RSTART), w, / +|\//); if (w[2] + 0 >= step) found = 1} END {exit !found}' "$log" 2>/dev/null; do
    # On a slow machine the limit may be there before the step.
    (($(times_asked "$log") < $2)) || return 0
    ((SECONDS <= deadline)) || { fail "life $2 of job $1 did not come to step $3" "$log"; return; }
    sleep 0.05
  done
  mapfile -t pids < <(processes_of "$1" r1_train)
  ((${#pids[@]} == 2)) || fail "life $2 of job $1: expected 2 ranks, found ${#pids[@]}" "$log"
  held=("${pids[@]}")
  kill -STOP "${held[@]}"
}
let_go() {
  ((${#held[@]} == 0)) || kill -CONT "${held[@]}" 2>/dev/null || true
}

# wait_for_restart JOB COUNT
wait_for_restart() {
  local deadline=$((SECONDS + 60))
  until (($(field_of "$1" Restarts) >= $2)); do
    ((SECONDS <= deadline)) || { fail "job $1 was not requeued $2 times"; return; }
    sleep 0.1
  done
}

# The run has come to its end as the uninterrupted one did. expect_same JOB NAME RESTARTS
expect_same() {
  wait_for "$1" 90
  [[ "$state" == COMPLETED ]] || fail "$2: state $state" "$log"
  [[ "$(field_of "$1" Restarts)" == "$3" ]] || fail "$2: $(field_of "$1" Restarts) restarts, expected $3" "$log"
  [[ "$(fingerprint "data/$2")" == "$undisturbed" ]] || fail "$2: the end differs from that of an uninterrupted run" "$log"
}

start_run undisturbed
reference="$job"
expect_completed "$reference" "the undisturbed run" "rank 0 on n1, rank 1 on n2"
undisturbed="$(fingerprint data/undisturbed)"

# Waits until the scheduler has asked so often. asked LOG COUNT
asked() {
  local deadline=$((SECONDS + 90))
  until (($(times_asked "$1") >= $2)); do
    ((SECONDS <= deadline)) || { fail "the scheduler did not ask the job to end $2 times" "$1"; return; }
    sleep 0.1
  done
}

time_limit() {
  # Slurm looks every 30 s and sends a signal up to 30 s early: this one comes 10 to 40 s after the start of each life.
  start_run time_limit --time=1 --signal=B:USR1@20
  local limited="$job" life
  for life in 1 2; do
    hold "$limited" "$life" $((life * 20))
    asked "$log" "$life"
    let_go
  done
  # The third life may take its time.
  wait_for_restart "$limited" 2
  scontrol update "JobId=$limited" TimeLimit=20
  expect_same "$limited" time_limit 2
  (($(grep -c "asks to be requeued (exit code 85)" "$log") == 2)) || fail "time limit: expected two requests in the log" "$log"
}

# The same signal, with the other launcher.
mpirun_launcher() {
  R1_LAUNCHER=mpirun start_run mpirun_launcher
  hold "$job" 1 100
  scancel --signal=USR1 --batch "$job"
  asked "$log" 1
  let_go
  expect_same "$job" mpirun_launcher 1
  (($(grep -cxF "rank 0 on n1, rank 1 on n2" "$log") == 2)) || fail "mpirun: not a rank on each node in both lives" "$log"
}

# A generation that is interrupted continues and leaves the rows of an uninterrupted one.
generation() {
  local flags=(--hf-dataset builtin/chain:steps=4 --model deepseek-ai/DeepSeek-R1 --max-samples 480 --max-new-tokens 200 --temperature 1.0
    --ignore-eos --num-threads 1 --output-format jsonl)
  submit slurm/generate.slurm "${flags[@]}" --hf-output-dataset data/interrupted
  local interrupted="$job"
  wait_for_line '^sample 0/480' "$log" || true
  sleep 0.5
  scancel --signal=USR1 --batch "$interrupted"
  submit slurm/generate.slurm "${flags[@]}" --hf-output-dataset data/whole
  expect_completed "$job" "the whole generation"
  expect_completed "$interrupted" "the interrupted generation"
  [[ "$(field_of "$interrupted" Restarts)" == 1 ]] || fail "generation: $(field_of "$interrupted" Restarts) restarts, expected 1" "$log"
  diff <(cat data/whole/part-*) <(cat data/interrupted/part-*) >"$work/difference" || fail "generation: other rows after the restart" "$work/difference"
  [[ "$(cat data/interrupted/part-* | wc -l)" == 480 ]] || fail "generation: not 480 rows" "$log"
}

scontrol_requeue() {
  start_run scontrol_requeue
  hold "$job" 1 100
  scontrol requeue "$job"
  let_go
  expect_same "$job" scontrol_requeue 1
}

preemption() {
  start_run preempted
  local preempted="$job" preempted_log="$log"
  hold "$preempted" 1 100
  submit --nodes=2 --exclusive --partition=urgent --wrap "sleep 2"
  # Slurm wakes and signals the ranks themselves, not the batch script.
  expect_completed "$job" "the urgent job"
  grep -q "stopped by a signal; everything is saved" "$preempted_log" || fail "preemption: the ranks did not save" "$preempted_log"
  expect_same "$preempted" preempted 1
}

# A node that dies takes its ranks and its daemon along; what was saved last is where the second life begins.
node_failure() {
  start_run node_failure
  local pids
  hold "$job" 1 100
  mapfile -t pids < <(processes_of "$job" r1_train n2)
  kill -9 "$(<"$cluster/slurmd-n2.pid")" "${pids[@]}"
  scontrol update NodeName=n2 State=DOWN Reason="the test killed it"
  let_go
  tests/slurm/cluster node "$cluster" n2
  expect_same "$job" node_failure 1
}

# What the user ends stays ended: the ranks save, and nobody requeues the job.
cancelled() {
  start_run cancelled
  hold "$job" 1 100
  scancel "$job"
  let_go
  wait_for_line "stopped by a signal; everything is saved" "$log" || true
  wait_for "$job" 30
  # Longer than a requeued job waits for its start.
  sleep 10
  [[ "$(field_of "$job" JobState)" == CANCELLED && "$(field_of "$job" Restarts)" == 0 ]] ||
    fail "scancel: state $(field_of "$job" JobState), restarts $(field_of "$job" Restarts)" "$log"
}

# A signal before the ranks have started: there is nothing to save, and the job is requeued all the same.
early_signal() {
  start_run early_signal
  wait_for_line "^== plan" "$log" || true
  scancel --signal=USR1 --batch "$job"
  expect_same "$job" early_signal 1
}

# Programs that ask to be requeued for ever without saving anything: three restarts, then the job fails.
no_progress() {
  mkdir -p "$work/idle programs"
  # Like r1_train they finish their exit when srun ends the others of a step in which one has left.
  printf '#!/usr/bin/env bash\nset -euo pipefail\ntrap "" TERM\n[[ " $* " == *" --plan "* ]] || exit 85\n' >"$work/idle programs/r1_train"
  chmod +x "$work/idle programs/r1_train"
  sed "s|^export R1_BIN=.*|export R1_BIN='$work/idle programs'|" "$R1_SLURM_ENV" >"$work/idle.sh"
  R1_SLURM_ENV="$work/idle.sh" start_run no_progress
  wait_for "$job" 150
  [[ "$state" == FAILED && "$(field_of "$job" Restarts)" == 4 ]] || fail "no progress: state $state, $(field_of "$job" Restarts) restarts" "$log"
  (($(grep -c "^rank 0 on n1" "$log") == 4)) || fail "no progress: expected ranks in four lives" "$log"
  [[ "$(tail -n 1 "$log")" =~ "without progress" ]] || fail "no progress: the last line does not say so" "$log"
}

for case in "${cases[@]}"; do "$case"; done
end_of_test "requeue (${cases[*]})"
