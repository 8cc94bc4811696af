#!/usr/bin/env bash
# What happens to a checkpoint on a real Slurm of two nodes: trained on scratch, staged to the share, evaluated by a job of its own.
# usage: tests/slurm/checkpoints_test.sh FOLDER_OF_THE_PROGRAMS
set -euo pipefail
# shellcheck source=tests/slurm/support.sh
source "$(dirname "${BASH_SOURCE[0]}")/support.sh" "$@"

demo=(slurm/train.slurm Qwen2.5-1.5B-Instruct sft demo zero2)
long="--dataset_name=builtin/chain:steps=4,rows=2400,seed=0 --max_steps=600 --save_strategy=steps --save_steps=200 --packing=false"

# The jobs of a benchmark of a checkpoint, whatever their state. jobs_of BENCHMARK STEP OUTPUT
jobs_of() {
  local job
  for job in $(squeue --noheader --states=all --name="or1_$1_checkpoint-$2_main" --format=%A); do
    if scontrol show job "$job" | grep -qF "StdOut=$3/benchmarks/checkpoint-$2/"; then echo "$job"; fi
  done
}
# One job for each checkpoint, its number in the account, its result in place. expect_evaluated OUTPUT BENCHMARK STEP…
expect_evaluated() {
  local output="$1" benchmark="$2" step jobs
  shift 2
  for step in "$@"; do
    mapfile -t jobs < <(jobs_of "$benchmark" "$step" "$output")
    ((${#jobs[@]} == 1)) || { fail "$benchmark of checkpoint-$step: ${#jobs[@]} jobs, expected one"; continue; }
    [[ "$(<"$output/benchmarks/checkpoint-$step/$benchmark.job")" == "${jobs[0]}" ]] || fail "$benchmark of checkpoint-$step: another job in the account"
    wait_for "${jobs[0]}"
    log="$(find "$output/benchmarks/checkpoint-$step" -name "*-${jobs[0]}.out")"
    [[ "$state" == COMPLETED ]] || fail "$benchmark of checkpoint-$step: job ${jobs[0]} is $state" "$log"
    scripts/run_benchmarks --model-id "$output/checkpoint-$step" --output-dir "$output/benchmarks/checkpoint-$step" --collect >"$work/table" 2>&1 || fail "--collect of checkpoint-$step" "$work/table"
    grep -q "^$benchmark " "$work/table" || fail "--collect of checkpoint-$step has no $benchmark" "$work/table"
  done
}

# --- Straight to the share, on both nodes: a job for each checkpoint. The same run, undisturbed, for the comparison below.
submit --nodes=2 "${demo[@]}" "$long" "--output_dir=data/plain --benchmarks=math_500"
plain="$job"
expect_completed "$plain" "benchmarks in a recipe" "rank 0 on n1, rank 1 on n2"

# --- On scratch, held in its middle and requeued: the newest verified checkpoint of the share, the same end, each evaluation once.
mkdir -p "$work/node scratch"
export R1_SCRATCH="$work/node scratch"
submit --nodes=1 "${demo[@]}" "$long" "--output_dir='$work/share/run 1' --benchmarks=aime24 --gradient_accumulation_steps=2"
staged="$job"
unset R1_SCRATCH
# --- An sbatch that refuses is a warning; training goes on.
SBATCH_PARTITION=nowhere submit --partition=hopper-prod --nodes=1 "${demo[@]}" "$long" "--output_dir=data/refused --benchmarks=gpqa --max_steps=200"
refused="$job"

log="$work/job $staged.out"
if wait_for_line "step 200: saved" "$log" 60; then
  # Held there, so that what comes does not depend on the machine's speed.
  mapfile -t ranks < <(processes_of "$staged" r1_train)
  kill -STOP "${ranks[@]}" 2>/dev/null || fail "the run on scratch has no ranks" "$log"
  wait_for_line "checkpoint-200: staged and verified" "$log" 30 || true
  scontrol requeue "$staged"
  kill -CONT "${ranks[@]}" 2>/dev/null || true
  wait_for_line "life 2" "$log" 60 || true
fi
expect_completed "$refused" "an sbatch that refuses"
grep -q "the benchmarks of .*checkpoint-200 were not queued" "$log" || fail "an sbatch that refuses: no warning" "$log"
[[ -s data/refused/model.safetensors ]] || fail "an sbatch that refuses: no model" "$log"

expect_completed "$staged" "a run on scratch"
grep -qE "goes on from .*checkpoint-[0-9]+" "$log" || fail "a run on scratch: its second life does not go on from a checkpoint" "$log"
grep -qF "$work/node scratch/r1-job-$staged/inputs/models/Qwen/Qwen2.5-1.5B-Instruct" "$log" || fail "a run on scratch: the model was not staged" "$log"
grep -q "everything is there, verified" "$log" || fail "a run on scratch: no last word of the staging" "$log"
[[ -z "$(ls -A "$work/node scratch")" ]] || fail "a run on scratch left on it: $(find "$work/node scratch" | head -5)"
[[ "$(<"$work/share/run 1/latest")" == checkpoint-600 ]] || fail "latest on the share says $(<"$work/share/run 1/latest")"
"$R1_BIN/r1_inspect" checkpoint "$work/share/run 1/checkpoint-600" --verify >/dev/null || fail "checkpoint-600 on the share is not whole"
cmp data/plain/model.safetensors "$work/share/run 1/model.safetensors" || fail "the run on scratch ends with other bytes"

expect_evaluated "$PWD/data/plain" math_500 200 400 600
expect_evaluated "$work/share/run 1" aime24 200 400 600
# Asked again, nothing is queued again.
before="$(squeue -h --states=all | wc -l)"
scripts/evaluate_checkpoint data/plain/checkpoint-600 >"$work/again" || fail "evaluate_checkpoint a second time" "$work/again"
[[ "$(squeue -h --states=all | wc -l)" == "$before" && ! -s "$work/again" ]] || fail "a second call queued something" "$work/again"
# The second names of the evaluated models are gone.
[[ -z "$(ls -A data/plain/benchmarks/models)" ]] || fail "left: $(ls data/plain/benchmarks/models)"

# --- A name that is no benchmark fails with the plan.
submit "${demo[@]}" "--output_dir=data/unknown --benchmarks=math_5000"
wait_for "$job"
[[ "$state" == FAILED ]] && grep -q "unknown benchmark 'math_5000'; there are: math_500" "$log" || fail "an unknown benchmark: $state" "$log"

end_of_test "checkpoints"
