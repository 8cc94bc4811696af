#!/usr/bin/env bash
# Measures checkpoints of a 110M-parameter model (1.2 GiB of state) on two ranks: saving beside dd with fsync on the same disk, how long
# training stands still with and without --async_save, what checksums and comparing replicas cost. Prints a table.
set -euo pipefail

if [[ $# -ne 2 || "${1:-}" == --help ]]; then
  echo "usage: tools/bench_checkpoint.sh BUILD_FOLDER WORK_FOLDER      WORK_FOLDER: on the disk to measure, with 10 GB free"
  exit 2
fi
source_folder="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
bin="$(cd "$1" && pwd)/bin"
mkdir -p "$2"
work="$(cd "$2" && pwd)"
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1 R1_CACHE="$work/cache"

cat >"$work/config.json" <<'EOF'
{"model_type": "llama", "vocab_size": 32000, "hidden_size": 768, "intermediate_size": 2048, "num_hidden_layers": 12,
 "num_attention_heads": 12, "num_key_value_heads": 12, "head_dim": 64, "max_position_embeddings": 1024, "tie_word_embeddings": true,
 "eos_token_id": 257, "pad_token_id": 256}
EOF
"$bin/r1_inspect" init-model --config "$work/config.json" --tokenizer "$source_folder/assets/chain" --output "$work/model" \
  --init scaled --seed 3 >/dev/null

# train NAME STRATEGY FLAGS…: on two ranks; the log is NAME.log
train() {
  local name="$1" strategy="$2"
  shift 2
  rm -rf "${work:?}/$name"
  mpirun -n 2 "$bin/r1_train" sft --model_name_or_path="$work/model" --dataset_name=builtin/chain:rows=2000 \
    --output_dir="$work/$name" --accelerate_config="$source_folder/accelerate_configs/$strategy.yaml" \
    --per_device_train_batch_size=8 --gradient_accumulation_steps=2 --logging_steps=1 --num_threads=1 --save_total_limit=1 \
    --eval_strategy=no "$@" >"$work/$name.log" 2>&1 || { tail -5 "$work/$name.log" >&2; exit 1; }
}
median() { sort -g | awk '{v[NR]=$1} END {print v[int((NR+1)/2)]}'; }
# The seconds of each save in a log.
save_seconds() { sed -n 's/^step [0-9]*: saved .*, \([0-9.]*\) s)$/\1/p' "$work/$1.log"; }
step_seconds() { sed -n 's/.*"step_seconds":\([0-9.e-]*\).*/\1/p' "$work/$1/metrics.jsonl"; }

train sync zero2 --max_steps=9 --save_steps=2
train async zero2 --max_steps=11 --save_steps=4 --async_save
state="$(find "$work/sync" -path '*/checkpoint-*/state.h5' -printf '%s\n' | head -1)"
count=$(((state + 67108863) / 67108864))
dd_seconds="$(for _ in 1 2 3; do
  rm -f "$work/dd"
  LC_ALL=C dd if="$work/sync/checkpoint-8/state.h5" of="$work/dd" bs=64M count="$count" conv=fsync 2>&1 |
    sed -n 's/.*copied, \([0-9.]*\) s.*/\1/p'
done | median)"
rm -f "$work/dd"
saved="$(save_seconds sync | median)"
background="$(sed -n 's/^checkpoints: \(.*\) of writing, training stood still for \(.*\)$/\1, \2 stood still/p' "$work/async.log")"
begin="$(date +%s.%N)"
"$bin/r1_inspect" checkpoint "$work/sync/checkpoint-8" --verify >/dev/null
verify="$(echo "$(date +%s.%N) $begin" | awk '{print $1 - $2}')"
train checked ddp --max_steps=9 --save_strategy=no --check_replicas_steps=2

echo "| what | measured |"
echo "|---|---|"
echo "| state | $state bytes |"
awk -v b="$state" -v s="$dd_seconds" 'BEGIN {printf "| dd, fsync | %.2f s, %.0f MB/s |\n", s, b / s / 1e6}'
awk -v b="$state" -v s="$saved" 'BEGIN {printf "| save, 2 ranks (median) | %.2f s, %.0f MB/s |\n", s, b / s / 1e6}'
echo "| all saves, seconds | $(save_seconds sync | tr '\n' ' ')|"
echo "| --async_save, 2 saves | $background |"
awk -v b="$state" -v s="$verify" 'BEGIN {printf "| --verify, one process | %.2f s, %.0f MB/s |\n", s, b / s / 1e6}'
echo "| comparing replicas (DDP) | $(sed -n 's/^replicas compared \(.*\):.*/\1/p' "$work/checked.log"); a step takes $(step_seconds checked | median) s |"
