#!/usr/bin/env bash
# make demo: a small model learns the built-in task "chain" from scratch, on the CPU, with nothing downloaded.
set -euo pipefail

usage() {
  echo "usage: tools/demo.sh [--bin build/bin] [--output data/tiny] [--seed 0] [--steps 6]"
  echo "Makes a 0.6 M parameter Qwen2 model with random weights, fine-tunes it (recipes/tiny/sft/config_demo.yaml), lets GRPO find out"
  echo "that writing every step pays (recipes/tiny/grpo/config_demo.yaml), generates with it, and prints the path of the report."
  echo "--steps 10 is a harder task: chains of ten operations (twice the time)."
}

cd "$(dirname "$0")/.."
bin=build/bin
output=data/tiny
seed=0
steps=6
while [[ $# -gt 0 ]]; do
  case "$1" in
    --bin) bin=$2; shift 2 ;;
    --output) output=$2; shift 2 ;;
    --seed) seed=$2; shift 2 ;;
    --steps) steps=$2; shift 2 ;;
    --help | -h) usage; exit 0 ;;
    *) echo "demo.sh: unknown argument '$1'" >&2; usage >&2; exit 2 ;;
  esac
done

# Longer chains: the teacher is hasty from three multiplications on, and answers need room.
task=builtin/chain:steps=$steps
length=24
if ((steps > 6)); then
  task+=,thr=2,hj=4
  length=$((2 * steps + 16))
fi

echo "== a model with random weights: $output/init"
"$bin/r1_inspect" init-model --config recipes/tiny/config.json --tokenizer assets/chain --output "$output/init" --init scaled \
  --embedding_std 0.1 --seed "$seed"

echo "== supervised fine-tuning on builtin/chain: $output/sft"
"$bin/r1_train" sft --config recipes/tiny/sft/config_demo.yaml --model_name_or_path "$output/init" --output_dir "$output/sft" \
  --overwrite_output_dir --seed "$seed" --dataset_name "$task,rows=28800,seed=0,format=prompt_completion"

echo "== GRPO, reward 1 for the right answer and 0.1 for the format: $output/grpo"
"$bin/r1_train" grpo --config recipes/tiny/grpo/config_demo.yaml --model_name_or_path "$output/sft" --output_dir "$output/grpo" \
  --overwrite_output_dir --seed "$seed" --dataset_name "$task,rows=480,seed=1" --max_completion_length "$length" --num_completions_to_print 1
trained=$output/grpo

echo "== batch generation, four samples of each held-out problem: $output/generated"
rm -rf "$output/generated"
"$bin/r1_generate" --model "$trained" --hf-dataset "$task,seed=7" --hf-dataset-split test --max-samples 64 --num-generations 4 \
  --temperature 1.0 --max-new-tokens "$length" --output-format jsonl --hf-output-dataset "$output/generated" --seed "$seed"
head -n 1 "$output/generated/part-00000.jsonl"

echo "== the benchmark, held-out problems, greedy: before GRPO, after it, and whether chance explains the difference"
rm -rf "$output/bench"
for stage in "$output/sft" "$trained"; do
  "$bin/r1_bench" --model "$stage" --tasks "$task" --max-new-tokens "$length" --output-dir "$output/bench/$(basename "$stage")" \
    --seed "$seed"
done
"$bin/r1_bench" --compare "$output/bench/sft" "$output/bench/$(basename "$trained")" --output-dir "$output/bench"

echo "== the report: curves, completions before and after, configuration"
realpath "$trained/report.html"
