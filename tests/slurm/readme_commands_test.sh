#!/usr/bin/env bash
# The shell blocks of Open R1's README, with mpirun and this project's programs in the place of the Python launchers: every flag stays as it is.
# Names of models and data sets lead to a tiny model and a few rows; recipes of the same names hold tiny values. The blocks that begin with
# sbatch run in templates_test.sh, run_benchmarks in pipeline_test.sh. usage: tests/slurm/readme_commands_test.sh FOLDER_OF_THE_PROGRAMS
set -euo pipefail
programs="$(realpath "${1:?folder of the programs}")"
source_folder="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
work="$(mktemp -d /tmp/r1-readme-test-XXXXXX)"
trap 'rm -rf "$work"' EXIT

project="$work/open r1"
mkdir -p "$project/build" "$work/models"
cp -r "$source_folder"/{accelerate_configs,tools,Makefile} "$project"
cp -r "$source_folder/tests/slurm/recipes" "$project/recipes"
ln -s "$programs" "$project/build/bin"
cd "$project"

sed 's/"max_position_embeddings": [0-9]*/"max_position_embeddings": 1024/' "$source_folder/recipes/tiny/config.json" >"$work/config.json"
build/bin/r1_inspect init-model --config "$work/config.json" --tokenizer "$source_folder/assets/chain" --output "$work/models/tiny" --seed 42 \
  --init scaled >/dev/null
cp "$source_folder/tests/slurm/chat_template.jinja" "$work/models/tiny"
for name in Qwen/Qwen2.5-1.5B-Instruct Qwen/Qwen2.5-Math-7B deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B deepseek-ai/DeepSeek-R1-Distill-Qwen-7B \
  deepseek-ai/DeepSeek-R1-Distill-Qwen-32B; do
  mkdir -p "$work/models/${name%/*}"
  ln -s ../tiny "$work/models/$name"
done
export R1_MODELS="$work/models" R1_DATA="$source_folder/tests/slurm/data" R1_DEVICE=cpu HF_HOME="$work/cache"
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_hwloc_base_binding_policy=none
unset "${!SLURM_@}"

failures=0
fail() {
  echo "FAILED: $1"
  tail -n 20 "$work/log"
  failures=$((failures + 1))
}
# Runs a block and expects the files that it must leave. run NAME FILE… -- COMMAND…
run() {
  local name="$1" files=() file
  shift
  while [[ "$1" != -- ]]; do files+=("$1"); shift; done
  shift
  "$@" >"$work/log" 2>&1 || { fail "$name: exit code $?"; return 0; }
  for file in "${files[@]}"; do compgen -G "${file// /\\ }" >/dev/null || fail "$name: left no $file"; done
  echo "ran: $name"
}

# --- SFT: flags alone, a recipe, overrides, names for wandb.
run "SFT from flags alone" data/Qwen2.5-1.5B-Open-R1-Distill/model.safetensors -- \
  mpirun -n 2 build/bin/r1_train sft --accelerate_config=recipes/accelerate_configs/zero3.yaml \
  --model_name_or_path Qwen/Qwen2.5-1.5B-Instruct --dataset_name HuggingFaceH4/Bespoke-Stratos-17k --learning_rate 2.0e-5 \
  --num_train_epochs 1 --packing --max_seq_length 4096 --per_device_train_batch_size 2 --gradient_accumulation_steps 8 \
  --gradient_checkpointing --bf16 --output_dir data/Qwen2.5-1.5B-Open-R1-Distill
rm -rf data
run "SFT from a recipe" data/Qwen2.5-1.5B-Open-R1-Distill/model.safetensors -- \
  mpirun -n 2 build/bin/r1_train sft --accelerate_config recipes/accelerate_configs/zero3.yaml \
  --config recipes/Qwen2.5-1.5B-Instruct/sft/config_demo.yaml
run "SFT with overrides" data/Qwen2.5-1.5B-Open-R1-Distill/train_results.json -- \
  mpirun -n 2 build/bin/r1_train sft --accelerate_config recipes/accelerate_configs/zero3.yaml \
  --config recipes/Qwen2.5-1.5B-Instruct/sft/config_demo.yaml --per_device_train_batch_size=1 --num_train_epochs=5
grep -q '"epoch": *5' data/Qwen2.5-1.5B-Open-R1-Distill/train_results.json || fail "SFT with overrides: not five epochs"
run "names for wandb" data/Qwen2.5-1.5B-Open-R1-Distill/model.safetensors -- \
  mpirun -n 2 build/bin/r1_train sft --config recipes/Qwen2.5-1.5B-Instruct/sft/config_demo.yaml \
  --wandb_entity huggingface --wandb_project open-r1 --run_name Qwen2.5-1.5B-GRPO
grep -q "Qwen2.5-1.5B-GRPO" data/Qwen2.5-1.5B-Open-R1-Distill/report.html || fail "names for wandb: the run's name is not recorded"

# --- GRPO: seven trainers and a generator, and the SimpleRL recipe.
run "GRPO with a generator of its own" data/Qwen2.5-1.5B-Open-R1-GRPO/model.safetensors -- \
  env ACCELERATE_LOG_LEVEL=info mpirun -n 8 build/bin/r1_train grpo --accelerate_config recipes/accelerate_configs/zero2.yaml \
  --num_processes=7 --config recipes/Qwen2.5-1.5B-Instruct/grpo/config_demo.yaml
run "GRPO, SimpleRL" data/Qwen-2.5-7B-Simple-RL/model.safetensors -- \
  mpirun -n 2 build/bin/r1_train grpo --accelerate_config recipes/accelerate_configs/zero3.yaml \
  --config recipes/Qwen2.5-Math-7B/grpo/config_simple_rl.yaml

# --- Evaluation on one rank, data parallel and tensor parallel, and through make.
MODEL=deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B
for task in aime24 math_500 gpqa:diamond; do
  run "evaluation: $task" "data/evals/$MODEL/$task/results/$MODEL/results_*.json" -- \
    build/bin/r1_bench --model "$MODEL" --dtype bfloat16 --tasks "$task" --output-dir "data/evals/$MODEL/$task"
done
scores() { jq -cS .results "$(compgen -G "$1/results/$MODEL/results_*.json" | sort | tail -n 1)"; }
run "evaluation, data parallel" "data/evals/data/results/$MODEL/results_*.json" -- \
  mpirun -n 2 build/bin/r1_bench --model "$MODEL" --dtype bfloat16 --tasks aime24 --output-dir data/evals/data
[[ "$(scores data/evals/data)" == "$(scores "data/evals/$MODEL/aime24")" ]] || fail "evaluation, data parallel: other scores"
run "evaluation, tensor parallel" "data/evals/tensor/results/$MODEL/results_*.json" -- \
  mpirun -n 2 build/bin/r1_bench --model "$MODEL" --dtype bfloat16 --tasks aime24 --tensor-parallel-size 2 --output-dir data/evals/tensor
MODEL=deepseek-ai/DeepSeek-R1-Distill-Qwen-32B
for variables in "" "PARALLEL=data NUM_GPUS=2" "PARALLEL=tensor NUM_GPUS=2"; do
  rm -rf "data/evals/$MODEL"
  # shellcheck disable=SC2086 # several variables
  run "make evaluate $variables" "data/evals/$MODEL/results/$MODEL/results_*.json" -- make evaluate "MODEL=$MODEL" TASK=aime24 $variables
done
if make evaluate "MODEL=$MODEL" TASK=aime24 PARALLEL=expert >"$work/log" 2>&1; then fail "make evaluate took PARALLEL=expert"; fi

# --- Generation with a template of two lines that holds a backslash and braces.
generate=(build/bin/r1_generate --model deepseek-ai/DeepSeek-R1-Distill-Qwen-7B --hf-dataset AI-MO/NuminaMath-TIR --hf-dataset-split train
  --max-samples 10 --prompt-column problem --temperature 0.6 --max-new-tokens 8192 --max-model-len 1024 --num-generations 4
  --prompt-template $'Reason step by step and put your final answer within \\boxed{}:\n{{ instruction }}'
  --hf-output-dataset data/generated --output-format jsonl)
run "the plan of a generation" -- "${generate[@]}" --plan
grep -A 1 -F 'put your final answer within \boxed{}:' "$work/log" | grep -q '^What is \$2 ' || fail "generation: the prompt is not the template's"
run "generation" "data/generated/part-*.jsonl" -- "${generate[@]}"
[[ "$(cat data/generated/part-*.jsonl | jq -c '.generations | length' | sort | uniq -c | xargs)" == "10 4" ]] || fail "generation: not 10 rows of 4"

((failures == 0)) || { echo "$failures failures"; exit 1; }
echo "the README's commands: passed in $SECONDS s"
