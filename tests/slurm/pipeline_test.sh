#!/usr/bin/env bash
# scripts/run_benchmarks and slurm/pipeline.sh on a real Slurm of two nodes.
# usage: tests/slurm/pipeline_test.sh FOLDER_OF_THE_PROGRAMS
set -euo pipefail
# shellcheck source=tests/slurm/support.sh
source "$(dirname "${BASH_SOURCE[0]}")/support.sh" "$@"

both_nodes="rank 0 on n1, rank 1 on n2"

# --- The teacher of the chain, trained while the benchmarks are checked.
submit --nodes=2 slurm/train.slurm tiny sft demo zero2 "--model_name_or_path=Qwen/Qwen2.5-1.5B-Instruct --max_steps=200 --learning_rate=2e-3" \
  "--dataset_name=builtin/chain:steps=1,rows=4800,seed=0,format=prompt_completion --per_device_train_batch_size=8 --num_threads=1" \
  "--output_dir=data/teacher"
teacher="$job"

# --- run_benchmarks: all names are checked before anything is queued.
before="$(squeue -h | wc -l)"
if scripts/run_benchmarks --benchmarks math_500 nope >"$work/unknown" 2>&1; then fail "an unknown benchmark was accepted"; fi
grep -q "unknown benchmark 'nope'; there are: math_500 aime24 .*Nothing was submitted" "$work/unknown" || fail "an unknown benchmark: no list" "$work/unknown"
[[ "$(squeue -h | wc -l)" == "$before" ]] || fail "an unknown benchmark submitted something"
if scripts/run_benchmarks --model-id=deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B >"$work/none" 2>&1; then fail "no benchmark was accepted"; fi
scripts/run_benchmarks --list-benchmarks >"$work/list"
for name in math_500 aime24 gpqa; do grep -q "^$name " "$work/list" || fail "--list-benchmarks does not list $name" "$work/list"; done

# Queues benchmarks; sets `queued` to their jobs. queue ARGUMENTS OF run_benchmarks…
queue() {
  "$@" >"$work/queue" 2>&1 || fail "$*" "$work/queue"
  mapfile -t queued < <(sed -n 's/^[a-z0-9_]*: job \([0-9]*\)$/\1/p' "$work/queue")
}
# expect_results FOLDER NAME…: a result of each, one job each, and one table of them all.
expect_results() {
  local folder="$1" name job
  shift
  ((${#queued[@]} == $#)) || fail "$*: expected $# jobs, found ${#queued[@]}" "$work/queue"
  for job in "${queued[@]}"; do
    wait_for "$job"
    [[ "$state" == COMPLETED ]] || fail "$*: job $job is $state" "$(find "$folder" -name "*-$job.out")"
  done
  scripts/run_benchmarks --model-id "$model" --output-dir "$folder" --collect >"$work/table" || fail "--collect" "$work/table"
  [[ "$(wc -l <"$work/table")" == $(($# + 1)) ]] || fail "--collect: expected one line a benchmark" "$work/table"
  for name in "$@"; do
    grep -qE "^$name +2 +1 +[01]\.[0-9]{4} +[0-9.]+ +[0-9.]+ +[0-9.]+ %$" "$work/table" || fail "--collect: no line of $name" "$work/table"
  done
}
model=deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B
# As it is written: results lie under data/evals.
queue scripts/run_benchmarks --benchmarks math_500 aime24
two=("${queued[@]}")
# Under its old name, behind a job, with a system prompt of several words and a box, into a folder with a space.
queue scripts/run_benchmarks.py --model-id="$model" --benchmarks gpqa --system-prompt $'Put it into \\boxed{}:\nplease' --num-samples 1 \
  --dependency "afterok:$teacher" --output-dir "$work/old name"
one=("${queued[@]}")
expect_completed "$teacher" "the teacher" "$both_nodes"

# --- The chain: nothing is submitted by a dry run or a file with a mistake.
slurm/pipeline.sh tests/slurm/recipes/pipeline.yaml --dry-run >"$work/dry" || fail "pipeline.sh --dry-run" "$work/dry"
(($(grep -c '^sbatch ' "$work/dry") == 7)) || fail "pipeline.sh --dry-run: expected seven jobs" "$work/dry"
[[ ! -e "data/pipe line" ]] || fail "pipeline.sh --dry-run made a folder"
sed 's/^select:/selct:/' tests/slurm/recipes/pipeline.yaml >"$work/typo.yaml"
if slurm/pipeline.sh "$work/typo.yaml" >"$work/typo" 2>&1; then fail "pipeline.sh took a file with a mistake"; fi
grep -q "typo.yaml:11: unknown section selct; there are generate, select" "$work/typo" || fail "pipeline.sh: the mistake is not named" "$work/typo"

R1_POLL_SECONDS=1 slurm/pipeline.sh tests/slurm/recipes/pipeline.yaml --wait >"$work/chain" 2>&1 || fail "pipeline.sh" "$work/chain"
for name in generate select sft grpo evaluate_before evaluate_after compare; do
  job="$(sed -n "s/^$name: job \([0-9]*\).*/\1/p" "$work/chain")"
  [[ -n "$job" && "$(field_of "$job" JobState)" == COMPLETED ]] || fail "pipeline.sh: $name is not COMPLETED" "$work/chain"
done
for name in generate sft grpo evaluate_after; do
  grep -qxF "$both_nodes" "data/pipe line/logs/$name"-*.out || fail "pipeline.sh: $name did not run on both nodes"
done
kept="$(wc -l <"data/pipe line/selected/train.jsonl")"
((kept > 60 && kept < 600)) || fail "pipeline.sh: $kept of 600 answers were kept"
tail -n 15 "$work/chain"

queued=("${one[@]}") && expect_results "$work/old name" gpqa
grep -q 'boxed' "$work/old name/gpqa/details" -r || fail "run_benchmarks: the system prompt did not reach the model"
queued=("${two[@]}") && expect_results "$project/data/evals/$model" math_500 aime24

# A chain whose first job fails is cancelled, and says so.
sed 's|model: data/teacher|model: data/nobody|; s|^output_dir:.*|output_dir: data/broken|' tests/slurm/recipes/pipeline.yaml >"$work/broken.yaml"
if R1_POLL_SECONDS=1 timeout 60 slurm/pipeline.sh "$work/broken.yaml" --wait >"$work/broken" 2>&1; then fail "pipeline.sh: a broken chain ended well"; fi
grep -q "the chain did not end well" "$work/broken" || fail "pipeline.sh: a broken chain does not say so" "$work/broken"

end_of_test "run_benchmarks and the chain of jobs"
