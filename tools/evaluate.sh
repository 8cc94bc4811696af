#!/usr/bin/env bash
# make evaluate: benchmarks a model with Open R1's variables. Results lie in data/evals/MODEL.
set -euo pipefail

usage() {
  echo "usage: make evaluate MODEL=M TASK=math_500[,aime24,…] [PARALLEL=data|tensor NUM_GPUS=n]"
  echo "       tools/evaluate.sh BUILD MODEL TASK PARALLEL NUM_GPUS [more flags of r1_bench]"
  echo "Problems are asked with a system prompt that wants the answer in a box, as Open R1's target does; results: data/evals/MODEL."
}

if [[ ${1:-} == --help || ${1:-} == -h ]]; then usage; exit 0; fi
if [[ $# -lt 3 || -z $2 || -z $3 ]]; then usage >&2; exit 2; fi
build=$1 model=$2 task=$3 parallel=${4:-} ranks=${5:-1}
shift $(($# < 5 ? $# : 5))
flags=(--model "$model" --tasks "$task" --output-dir "data/evals/$model"
  --system-prompt 'Reason step by step and put the final answer within \boxed{}.')
launcher=()
case "$parallel" in
  '') ;;
  data) launcher=(mpirun -n "$ranks") ;;
  tensor) launcher=(mpirun -n "$ranks"); flags+=(--tensor-parallel-size "$ranks") ;;
  *) echo "evaluate.sh: PARALLEL: expected data or tensor, found '$parallel'" >&2; exit 2 ;;
esac
exec "${launcher[@]}" "$build/bin/r1_bench" "${flags[@]}" "$@"
