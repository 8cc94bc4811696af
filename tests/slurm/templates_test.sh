#!/usr/bin/env bash
# The templates on a real Slurm of two nodes: usage: tests/slurm/templates_test.sh FOLDER_OF_THE_PROGRAMS
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
export R1_BIN="${1:?folder of the programs}"
tests/slurm/cluster check || exit $?

work="$(mktemp -d /tmp/r1-slurm-test-XXXXXX)"
cluster="$work-cluster"
trap 'tests/slurm/cluster down "$cluster"; rm -rf "$work"' EXIT
eval "$(tests/slurm/cluster up "$cluster")"
export SLURM_CONF R1_SLURM_ENV

failures=0
fail() {
  echo "FAILED: $1"
  [[ -z "${2:-}" ]] || tail -n 15 "$2"
  failures=$((failures + 1))
}

# Submits a job and waits for its end; sets `log` and `state`. run_job ARGUMENTS OF SBATCH…
run_job() {
  local job try
  job="$(timeout 20 sbatch --parsable "--output=$work/job %j.out" "$@")"
  log="$work/job $job.out"
  state=""
  for ((try = 0; try < 240; try++)); do
    state="$(scontrol show job "$job" | sed -n 's/^ *JobState=\([A-Z_]*\).*/\1/p')"
    case "$state" in COMPLETED | FAILED | CANCELLED | TIMEOUT | NODE_FAIL) return ;; esac
    sleep 0.25
  done
  scancel "$job"
}

# A job that must fail, with a last line that matches, and without starting a rank. expect_refusal PATTERN ARGUMENTS OF SBATCH…
expect_refusal() {
  local pattern="$1"
  shift
  run_job "$@"
  [[ "$state" == FAILED ]] || fail "$*: state $state, expected FAILED" "$log"
  [[ "$(tail -n 1 "$log")" =~ $pattern ]] || fail "$*: the last line does not say '$pattern'" "$log"
  if grep -q '^rank 0 on' "$log"; then fail "$*: ranks were started"; fi
}

"$R1_BIN/r1_inspect" init-model --config recipes/tiny/config.json --tokenizer assets/chain --output "$work/init" --seed 42 --init scaled >/dev/null
demo=(slurm/train.slurm Qwen2.5-1.5B-Instruct sft demo zero3)

run_job --nodes=2 "${demo[@]}" "--model_name_or_path=$work/init --output_dir='$work/a b' --max_steps=3"
[[ "$state" == COMPLETED ]] || fail "train.slurm on two nodes: state $state" "$log"
grep -q '^rank 0 on n1, rank 1 on n2$' "$log" || fail "train.slurm: no rank on each node" "$log"
[[ -s "$work/a b/model.safetensors" ]] || fail "train.slurm: no model in a folder with a space"
grep -q 'JobState=COMPLETED' "$cluster/log/jobcomp.txt" || fail "the completion log has no COMPLETED"

expect_refusal "unknown model 'Qwen9'; .*Qwen2.5-1.5B-Instruct" slurm/train.slurm Qwen9 sft demo zero3
expect_refusal "unknown task 'ppo'; expected sft or grpo" slurm/train.slurm Qwen2.5-1.5B-Instruct ppo demo zero3
expect_refusal "suffixes for .*: demo" slurm/train.slurm Qwen2.5-1.5B-Instruct sft missing zero3
expect_refusal "unknown accelerator 'zero9'; there are: ddp zero2 zero3" slurm/train.slurm Qwen2.5-1.5B-Instruct sft demo zero9
expect_refusal "expected at least 4 arguments, found 2" slurm/train.slurm Qwen2.5-1.5B-Instruct sft
expect_refusal "the plan failed with exit code 2" "${demo[@]}" "--model_name_or_path=$work/init --learning_rat=1"
if timeout 20 sbatch --nodes=3 "${demo[@]}" >/dev/null 2>&1; then fail "three nodes of two were not refused"; fi

template=$'Put it into \\boxed{}:\n{{ instruction }}'
run_job slurm/generate.slurm --hf-dataset builtin/chain:steps=4 --model "$work/init" --max-samples 4 --max-new-tokens 4 --num-threads 1 \
  --temperature 0.6 --prompt-template "$template" --output-format jsonl --hf-output-dataset "$work/username/r1 dataset"
[[ "$state" == COMPLETED ]] || fail "generate.slurm: state $state" "$log"
[[ "$(cat "$work/username/r1 dataset"/part-*.jsonl | wc -l)" == 4 ]] || fail "generate.slurm: expected 4 rows" "$log"

before="$(squeue -h | wc -l)"
if scripts/run_benchmarks --benchmarks math_500 nope >/dev/null 2>&1; then fail "an unknown benchmark was accepted"; fi
[[ "$(squeue -h | wc -l)" == "$before" ]] || fail "an unknown benchmark submitted something"

((failures == 0)) || exit 1
echo "all Slurm tests passed"
