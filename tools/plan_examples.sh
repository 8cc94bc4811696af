#!/usr/bin/env bash
# The plans of docs/plans.md, from the dimensions of the models alone: no weights, no tokenizer, no GPU.
# usage: tools/plan_examples.sh BUILD FOLDER     FOLDER gets a config.json for each model
set -euo pipefail

if [[ ${1:-} == --help || $# -ne 2 ]]; then
  sed -n '2,3s/^# //p' "$0"
  [[ ${1:-} == --help ]] && exit 0 || exit 2
fi
bin="$1/bin"
models="$2"

# name, then layers, hidden, intermediate, heads, key-value heads, vocabulary, positions, type
make_model() {
  mkdir -p "$models/$1"
  cat >"$models/$1/config.json" <<EOF
{"model_type": "$9", "num_hidden_layers": $2, "hidden_size": $3, "intermediate_size": $4, "num_attention_heads": $5,
 "num_key_value_heads": $6, "vocab_size": $7, "max_position_embeddings": $8, "tie_word_embeddings": false, "torch_dtype": "bfloat16"}
EOF
}
make_model Qwen2.5-7B 28 3584 18944 28 4 152064 32768 qwen2
make_model Llama-3.1-70B 80 8192 28672 64 8 128256 131072 llama

# What the data sheet of an H100 SXM says; links: NVLink inside a node, one 400 Gb/s card per GPU between nodes.
h100=(--plan --device cuda --device_memory 80GB --peak_tflops 989 --memory_bandwidth 3.35TB)
nvlink=(--link_bandwidth 450GB)
network=(--link_bandwidth 50GB)
# Without checkpoints: the disk of the planning machine is none of these plans.
sft=(--save_strategy no --dataset_name builtin/chain --max_length 4096 --per_device_train_batch_size 2 --gradient_checkpointing true --bf16 true
  --accelerate_config zero3 --output_dir "$models/out" --overwrite_output_dir true)
grpo=(--save_strategy no --dataset_name builtin/chain --reward_funcs exact_answer --num_generations 7 --per_device_train_batch_size 16
  --gradient_accumulation_steps 8 --max_prompt_length 512 --max_completion_length 1024 --beta 0.04 --gradient_checkpointing true --bf16 true
  --accelerate_config zero3 --output_dir "$models/out" --overwrite_output_dir true)

# The page without what stands below it: the effective configuration.
plan() {
  echo
  echo "### $1"
  shift
  local status=0
  local page
  page="$("$@" 2>/dev/null)" || status=$?
  sed '/^$/,$d' <<<"$page"
  echo "exit code $status"
}

plan "7B, SFT, one node of 8" "$bin/r1_train" sft --model_name_or_path "$models/Qwen2.5-7B" "${sft[@]}" "${h100[@]}" "${nvlink[@]}" \
  --nodes 1 --ntasks_per_node 8
plan "7B, GRPO, one node of 8, all of them generate" "$bin/r1_train" grpo --model_name_or_path "$models/Qwen2.5-7B" "${grpo[@]}" "${h100[@]}" \
  "${nvlink[@]}" --nodes 1 --ntasks_per_node 8
plan "7B, GRPO, 7 trainers and 1 generator" "$bin/r1_train" grpo --model_name_or_path "$models/Qwen2.5-7B" "${grpo[@]}" "${h100[@]}" \
  "${nvlink[@]}" --nodes 1 --ntasks_per_node 8 --num_processes 7
plan "70B, SFT, four nodes of 8" "$bin/r1_train" sft --model_name_or_path "$models/Llama-3.1-70B" "${sft[@]}" "${h100[@]}" "${network[@]}" \
  --nodes 4 --ntasks_per_node 8
plan "70B, SFT, two nodes of 8" "$bin/r1_train" sft --model_name_or_path "$models/Llama-3.1-70B" "${sft[@]}" "${h100[@]}" "${network[@]}" \
  --nodes 2 --ntasks_per_node 8
plan "70B, generation on one node, tensor parallel" "$bin/r1_generate" --model "$models/Llama-3.1-70B" --hf-dataset builtin/chain \
  --max-model-len 16384 --max-new-tokens 8192 --tensor-parallel-size 8 --hf-output-dataset "$models/out" "${h100[@]}" "${nvlink[@]}" \
  --nodes 1 --ntasks_per_node 8
plan "7B, SFT, 125 nodes of 8" "$bin/r1_train" sft --model_name_or_path "$models/Qwen2.5-7B" "${sft[@]}" "${h100[@]}" "${network[@]}" \
  --nodes 125 --ntasks_per_node 8
