#!/usr/bin/env bash
# The templates on a real Slurm of two nodes: the issue's commands as they are written, bad input, and a rank that dies.
# usage: tests/slurm/templates_test.sh FOLDER_OF_THE_PROGRAMS
set -euo pipefail
# shellcheck source=tests/slurm/support.sh
source "$(dirname "${BASH_SOURCE[0]}")/support.sh" "$@"

both_nodes="rank 0 on n1, rank 1 on n2"
demo=(slurm/train.slurm Qwen2.5-1.5B-Instruct sft demo zero3)

# --- As they are written in the README. Only --nodes=2 is added to the first, whose template asks for one node.
submit --nodes=2 slurm/train.slurm Qwen2.5-1.5B-Instruct grpo demo zero2
expect_completed "$job" "train.slurm" "$both_nodes"
[[ -s data/Qwen2.5-1.5B-Open-R1-GRPO/model.safetensors && -s data/Qwen2.5-1.5B-Open-R1-GRPO/report.html ]] || fail "train.slurm: no results" "$log"

submit slurm/generate.slurm --hf-dataset AI-MO/NuminaMath-TIR --temperature 0.6 --prompt-column problem \
  --model deepseek-ai/DeepSeek-R1 --hf-output-dataset username/r1-dataset
expect_completed "$job" "generate.slurm" "$both_nodes"
rows="$("$R1_BIN/r1_inspect" dataset "$PWD/username/r1-dataset" | grep -c generations || true)"
((rows > 0)) || fail "generate.slurm: no generations in username/r1-dataset" "$log"

# One node, four names, and a fifth argument with overrides; then the same with flags.
submit --job-name=open_r1 --nodes=1 slurm/train.slurm Qwen2.5-1.5B-Instruct sft demo zero3 '--per_device_train_batch_size=1 --num_train_epochs=5'
short="$job"
submit --job-name=open_r1 --nodes=1 slurm/train.slurm --model Qwen2.5-1.5B-Instruct --task=sft --config demo --accelerator zero3 \
  --args "--run_name='two words' --output_dir=data/flags"
expect_completed "$job" "train.slurm with flags"
grep -q "two words" data/flags/report.html || fail "train.slurm: an override with a space did not arrive" "$log"
expect_completed "$short" "train.slurm with overrides"
grep -q '"epoch": *5' data/Qwen2.5-1.5B-Open-R1-Distill/train_results.json || fail "train.slurm: not the five epochs of the override" "$log"

# The other launcher, with two ranks a node.
R1_LAUNCHER=mpirun R1_RANKS_PER_NODE=2 submit --nodes=2 slurm/train.slurm Qwen2.5-1.5B-Instruct grpo demo zero3 "--output_dir=data/mpirun --max_steps=1" \
  $'--system_prompt=\'Put it into \\boxed{}:\nplease\''
expect_completed "$job" "train.slurm with mpirun" "rank 0 on n1, rank 1 on n1, rank 2 on n2, rank 3 on n2"
jq -se 'map(.prompt | tostring | contains("Put it into \\boxed{}:\nplease")) | all' data/mpirun/completions/*.jsonl >"$work/prompts" ||
  fail "train.slurm: an override with a backslash and a line break did not arrive" "$work/prompts"

# A model spread over four ranks of two nodes, and a wrong layout, which the plan finds.
R1_GENERATE_PARALLEL=model R1_RANKS_PER_NODE=2 submit slurm/generate.slurm --hf-dataset builtin/chain:steps=4 --max-samples 4 \
  --max-new-tokens 4 --model deepseek-ai/DeepSeek-R1 --hf-output-dataset "$work/spread out"
spread="$job"
expect_completed "$spread" "generate.slurm with a layout" "rank 0 on n1, rank 1 on n1, rank 2 on n2, rank 3 on n2"
grep -q '^PLAN .*2 tensor × 2 pipeline parallel' "$log" || fail "generate.slurm: the model is not spread over the allocation" "$log"

# --- Bad input: each ends FAILED within five seconds, with a clear last line, and no rank is started. All are queued at once.
refused=() patterns=()
# expect_refusal PATTERN ARGUMENTS OF SBATCH…
expect_refusal() {
  patterns+=("$1")
  shift
  submit "$@"
  refused+=("$job")
}
expect_refusal "unknown model 'Qwen9'; .*Qwen2.5-1.5B-Instruct" slurm/train.slurm Qwen9 sft demo zero3
expect_refusal "unknown task 'ppo'; expected sft or grpo" slurm/train.slurm Qwen2.5-1.5B-Instruct ppo demo zero3
expect_refusal "model 'Qwen2.5-Math-7B' has no recipe for task 'sft'; .* has: grpo" slurm/train.slurm Qwen2.5-Math-7B sft demo zero3
expect_refusal "no recipe '.*config_missing.yaml'; suffixes for .*: demo" slurm/train.slurm Qwen2.5-1.5B-Instruct sft missing zero3
expect_refusal "unknown accelerator 'zero9'; there are: ddp zero2 zero3" slurm/train.slurm Qwen2.5-1.5B-Instruct sft demo zero9
expect_refusal "expected at least 4 arguments, found 2" slurm/train.slurm Qwen2.5-1.5B-Instruct sft
expect_refusal "unknown flag '--learning_rate'; training flags belong into --args" slurm/train.slurm --learning_rate 1
expect_refusal "the plan failed with exit code 2" "${demo[@]}" "--learning_rat=1"
expect_refusal "the plan failed with exit code 3" "${demo[@]}" "--model_name_or_path=$work/nothing"
expect_refusal "a quote is not closed" "${demo[@]}" "--output_dir='$work"
expect_refusal "expected flags" slurm/generate.slurm
expect_refusal "the plan failed with exit code 2" slurm/generate.slurm --tensor-parallel-size 3 --hf-dataset builtin/chain:steps=4 \
  --model deepseek-ai/DeepSeek-R1 --hf-output-dataset data/layout
expect_refusal "the plan failed with exit code 3" slurm/evaluate.slurm --tasks aime24 --model "$work/nothing" --output-dir data/nothing
expect_refusal "the plan failed with exit code 2" slurm/generate.slurm --hf-datase AI-MO/NuminaMath-TIR --model deepseek-ai/DeepSeek-R1
if mountpoint -q "$work/full"; then
  expect_refusal "the plan failed with exit code 6" "${demo[@]}" "--output_dir=$work/full/run"
else
  echo "skipped: a full output folder (this machine refuses to mount a small one)"
fi
for index in "${!refused[@]}"; do
  wait_for "${refused[$index]}"
  pattern="${patterns[$index]}"
  [[ "$state" == FAILED && "$(field_of "${refused[$index]}" Restarts)" == 0 ]] || fail "'$pattern': state $state, expected FAILED without a restart" "$log"
  [[ "$(tail -n 1 "$log")" =~ $pattern ]] || fail "the last line does not say '$pattern'" "$log"
  if grep -q '^rank 0 on' "$log"; then fail "'$pattern': ranks were started" "$log"; fi
  seconds="$(($(date -d "$(field_of "${refused[$index]}" EndTime)" +%s) - $(date -d "$(field_of "${refused[$index]}" StartTime)" +%s)))"
  ((seconds <= 5)) || fail "'$pattern': told after $seconds s only"
done
grep -q "did you mean '--learning_rate'" "$work/job ${refused[7]}.out" || fail "the typo's message names no key" "$work/job ${refused[7]}.out"
if timeout 20 sbatch --nodes=3 "${demo[@]}" >"$work/three" 2>&1; then fail "three nodes of two were not refused"; fi
grep -q "not available\|More processors\|Node count" "$work/three" || fail "three nodes of two: no reason" "$work/three"

# --- A failure of the run itself, that a restart would repeat, is not requeued.
submit "${demo[@]}" "--learning_rate=1e30 --output_dir=data/diverged"
diverged="$job"
submit "${demo[@]}" "--output_dir='$work/a b' --max_steps=2"
expect_completed "$job" "an output folder with a space"
[[ -s "$work/a b/model.safetensors" ]] || fail "train.slurm: no model in a folder with a space" "$log"
wait_for "$diverged"
[[ "$state" == FAILED && "$(field_of "$diverged" Restarts)" == 0 ]] || fail "a numeric failure: state $state, restarts $(field_of "$diverged" Restarts)" "$log"
[[ "$(tail -n 1 "$log")" =~ "exit code 4" ]] || fail "a numeric failure: the last line does not say so" "$log"

# --- A rank that dies ends the job within seconds, and the log says which.
submit --nodes=2 "${demo[@]}" "--max_steps=1000000 --logging_steps=20 --output_dir=data/killed"
killed="$job"
if wait_for_line '^.*step +[0-9]+' "$log" 30; then
  mapfile -t victims < <(processes_of "$killed" r1_train n2)
  ((${#victims[@]} == 1)) || fail "expected one rank on n2, found ${#victims[@]}"
  started=$SECONDS
  kill -9 "${victims[@]}"
  wait_for "$killed" 30
  ((SECONDS - started <= 15)) || fail "a killed rank: the job ended after $((SECONDS - started)) s"
  [[ "$state" == FAILED && "$(field_of "$killed" ExitCode)" != 0:0 ]] || fail "a killed rank: state $state" "$log"
  grep -qE 'n2: task 1: Killed' "$log" || fail "a killed rank: the log does not name it" "$log"
fi

end_of_test "the templates"
