#!/usr/bin/env bash
# Staging (slurm/stage.sh) without a scheduler: what a job's end or the death of any of its parts leaves on the share.
# usage: tests/slurm/stage_test.sh FOLDER_OF_THE_PROGRAMS [full]
# full: kill -9 at many moments, full scratch and full share (small tmpfs), a slow share.
set -euo pipefail
export R1_BIN="${1:?folder of the programs}" R1_DEVICE=cpu
mode="${2:-quick}"
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
cd "$root"
work="$(mktemp -d "/tmp/r1 stage-XXXXXX")"
mounts=()
children=()
clean_up() {
  local child
  for child in "${children[@]}"; do kill -9 -- "-$child" 2>/dev/null || true; done
  for mount in "${mounts[@]}"; do umount "$mount"; done
  rm -rf "$work"
}
trap clean_up EXIT
unset "${!SLURM_@}"
failures=0
fail() {
  echo "FAILED: $1"
  failures=$((failures + 1))
}
stage=("$root/slurm/stage.sh")

"$R1_BIN/r1_inspect" init-model --config "$root/recipes/tiny/config.json" --tokenizer "$root/assets/chain" --output "$work/model" --seed 42 --init scaled >/dev/null
# A run of some steps with a checkpoint after each. train OUTPUT STEPS [FLAGS…]
train() {
  "$R1_BIN/r1_train" sft --model_name_or_path "$work/model" --dataset_name builtin/chain:steps=2,rows=64 --max_length 128 --num_threads 1 \
    --per_device_train_batch_size 2 --learning_rate 1e-3 --logging_steps 1 --save_strategy steps --save_steps 1 --output_dir "$1" --max_steps "$2" "${@:3}" >"$work/train.log" 2>&1
}
# Every checkpoint under its final name, or the newest of them, is whole. expect_whole FOLDER [COUNT]
expect_whole() {
  local name
  while read -r name; do
    "$R1_BIN/r1_inspect" checkpoint "$1/$name" --verify >/dev/null || fail "$1/$name is not whole"
  done < <(find "$1" -maxdepth 1 -name 'checkpoint-*' -printf '%f\n' | grep -E '^checkpoint-[0-9]+$' | sort -rV | head -n "${2:-1000}")
}
steps_of() { find "$1" -maxdepth 1 -name 'checkpoint-*' -printf '%f\n' | sort -V | paste -sd ' '; }
# Starts `stage.sh watch` in a process group of its own; sets `watcher`.
watch() {
  setsid "${stage[@]}" watch "$@" >>"$work/watch.log" 2>&1 &
  watcher=$!
  children+=("$watcher")
}
wait_until() {
  local deadline=$((SECONDS + 30))
  until eval "$1"; do
    ((SECONDS <= deadline)) || { fail "not within 30 s: $1"; cat "$work/watch.log"; return; }
    sleep 0.1
  done
}

train "$work/uninterrupted" 6

# --- Staged while it trains; ended, fetched by another node, continued there: the bytes of the uninterrupted run.
share="$work/share/run" scratch="$work/scratch 1/run"
"${stage[@]}" begin "$share" "$scratch" fresh >/dev/null
watch "$share" "$scratch" --save-total-limit 2
train "$scratch" 6 --save_total_limit 2 || fail "the run on scratch: $(tail -n 3 "$work/train.log")"
wait_until '[[ -d "$share/checkpoint-6" ]]'
touch "$scratch.stop"
wait "$watcher" || fail "watch did not end well"
"${stage[@]}" finish "$share" "$scratch" --save-total-limit 2 >/dev/null || fail "finish"
[[ "$(steps_of "$share")" == "checkpoint-5 checkpoint-6" ]] || fail "save_total_limit on the share: found $(steps_of "$share")"
[[ ! -e "$scratch" && ! -e "$scratch.pinned" && ! -e "$scratch.stop" ]] || fail "finish left something on scratch"
[[ "$(<"$share/latest")" == checkpoint-6 ]] || fail "latest says $(<"$share/latest")"
expect_whole "$share"
for name in model.safetensors config.json tokenizer.json; do cmp "$work/uninterrupted/$name" "$share/$name" || fail "$name differs from the uninterrupted run's"; done
for name in metrics.jsonl trainer_state.json report.html samples.jsonl; do [[ -s "$share/$name" ]] || fail "no $name on the share"; done
# A life that ended after step 5, seen from another node.
rm -rf "$share/checkpoint-6" "$share/model.safetensors"
scratch="$work/scratch 2/run"
"${stage[@]}" begin "$share" "$scratch" continue >"$work/begin.log"
grep -q "goes on from $share/checkpoint-5, fetched and verified" "$work/begin.log" || fail "begin: $(<"$work/begin.log")"
train "$scratch" 6 --resume_from_checkpoint latest || fail "the second life: $(tail -n 3 "$work/train.log")"
"${stage[@]}" finish "$share" "$scratch" >/dev/null || fail "finish of the second life"
cmp "$work/uninterrupted/model.safetensors" "$share/model.safetensors" || fail "the second life ends with other bytes"
[[ "$(grep -c '"step"' "$share/metrics.jsonl")" == "$(grep -c '"step"' "$work/uninterrupted/metrics.jsonl")" ]] || fail "metrics.jsonl lost or doubled lines"

# --- A damaged checkpoint on the share is skipped for the one before; one damaged on scratch never gets a name on the share.
printf 'x' | dd of="$share/checkpoint-6/state.h5" bs=1 seek=5000 conv=notrunc status=none
"${stage[@]}" begin "$share" "$work/scratch 3/run" continue >"$work/begin.log"
grep -q "checkpoint-6 is not whole" "$work/begin.log" && grep -q "goes on from $share/checkpoint-5" "$work/begin.log" || fail "a damaged checkpoint was not skipped: $(<"$work/begin.log")"
mkdir -p "$work/bad"
cp -r "$work/uninterrupted/checkpoint-3" "$work/bad"
printf 'x' | dd of="$work/bad/checkpoint-3/state.h5" bs=1 seek=5000 conv=notrunc status=none
if "${stage[@]}" finish "$work/bad share" "$work/bad" >"$work/finish.log" 2>&1; then fail "a damaged checkpoint was staged"; fi
[[ "$(steps_of "$work/bad share")" == "" ]] || fail "a damaged checkpoint has a name on the share: $(steps_of "$work/bad share")"
grep -q "damaged on scratch" "$work/finish.log" || fail "no word about the damage: $(<"$work/finish.log")"

# --- Model and data: whole and the same bytes, or not there.
"${stage[@]}" copy "$work/model" "$work/scratch 1/models/tiny model" >/dev/null
diff -r "$work/model" "$work/scratch 1/models/tiny model" || fail "the copied model differs"
if "${stage[@]}" copy "$work/nothing" "$work/scratch 1/models/nothing" 2>"$work/copy.log"; then fail "nothing was copied"; fi
grep -q "expected '$work/nothing' to copy" "$work/copy.log" || fail "no reason: $(<"$work/copy.log")"

# --- Benchmarks of checkpoints outside Slurm: a notice that says how to do it later, Hugging Face files for it, and a run that ends well.
train "$work/no slurm" 1 --benchmarks math_500 aime24 || fail "a run with benchmarks outside Slurm: $(tail -n 3 "$work/train.log")"
grep -q "benchmarks: this is no Slurm job, so no evaluation is queued.*run_benchmarks --model-id CHECKPOINT --benchmarks math_500 aime24" "$work/train.log" || fail "no notice: $(<"$work/train.log")"
[[ -s "$work/no slurm/checkpoint-1/model.safetensors" ]] || fail "a checkpoint without Hugging Face files"
if "$root/scripts/evaluate_checkpoint" "$work/uninterrupted/checkpoint-1" 2>"$work/evaluate.log"; then fail "a checkpoint without Hugging Face files was taken"; fi
grep -q "expected a checkpoint with Hugging Face files" "$work/evaluate.log" || fail "no reason: $(<"$work/evaluate.log")"
status=0
train "$work/unknown" 1 --benchmarks math_5000 || status=$?
((status == 2)) && grep -q "unknown benchmark 'math_5000'; there are: math_500" "$work/train.log" || fail "an unknown benchmark: exit code $status, $(tail -n 3 "$work/train.log")"

if [[ "$mode" == full ]]; then
  # --- kill -9 of the stage step at random moments, again and again while checkpoints appear: what has a name on the share is whole, and what
  # was there once stays; the end brings everything.
  RANDOM=42
  share="$work/killed share" scratch="$work/killed scratch/run"
  "${stage[@]}" begin "$share" "$scratch" fresh >/dev/null
  train "$scratch" 60 &
  trainer=$!
  newest=0
  for ((kills = 0; kills < 25; kills++)); do
    watch "$share" "$scratch"
    sleep "0.$(printf '%03d' $((RANDOM % 900)))"
    kill -9 -- "-$watcher" 2>/dev/null || true
    wait "$watcher" 2>/dev/null || true
    expect_whole "$share" 2
    now="$(steps_of "$share" | grep -oE 'checkpoint-[0-9]+( |$)' | tail -n 1 | tr -dc 0-9 || true)"
    ((${now:-0} >= newest)) || fail "checkpoint-$newest was on the share and is gone"
    newest="${now:-0}"
  done
  wait "$trainer" || fail "the run beside the killed stager: $(tail -n 3 "$work/train.log")"
  ((newest > 0)) || fail "no checkpoint came through between the kills"
  "${stage[@]}" finish "$share" "$scratch" >"$work/finish.log" 2>&1 || fail "finish after the kills: $(tail -n 3 "$work/finish.log")"
  expect_whole "$share"
  [[ -d "$share/checkpoint-60" && -s "$share/model.safetensors" ]] || fail "not everything came after the kills: $(steps_of "$share")"

  # --- A share so slow that each copy takes seconds while the trainer deletes its old checkpoints: never less than before, and the newest
  # at the end.
  mkdir -p "$work/slow"
  printf '#!/bin/bash\n[[ " $* " != *" -rL "* ]] || sleep 2\nexec /bin/cp "$@"\n' >"$work/slow/cp"
  chmod +x "$work/slow/cp"
  share="$work/slow share" scratch="$work/slow scratch/run"
  "${stage[@]}" begin "$share" "$scratch" fresh >/dev/null
  PATH="$work/slow:$PATH" watch "$share" "$scratch" --save-total-limit 1
  train "$scratch" 40 --save_total_limit 1 &
  trainer=$!
  seen=""
  while kill -0 "$trainer" 2>/dev/null; do
    now="$(steps_of "$share" | tr ' ' '\n' | grep -cE '^checkpoint-[0-9]+$' || true)"
    [[ -z "$seen" ]] || ((now >= 1)) || fail "the share had a checkpoint and has none"
    ((now == 0)) || seen=1
    sleep 0.1
  done
  wait "$trainer" || fail "the run beside the slow share: $(tail -n 3 "$work/train.log")"
  touch "$scratch.stop"
  wait "$watcher" || fail "watch of the slow share did not end well"
  PATH="$work/slow:$PATH" "${stage[@]}" finish "$share" "$scratch" --save-total-limit 1 >"$work/finish.log" 2>&1 || fail "finish on the slow share: $(tail -n 3 "$work/finish.log")"
  expect_whole "$share"
  [[ "$(steps_of "$share")" == checkpoint-40 ]] || fail "the slow share has $(steps_of "$share"), expected checkpoint-40"

  # small_storage FOLDER SIZE: a file system of that size, or a skip.
  small_storage() {
    mkdir -p "$1"
    mount -t tmpfs -o "size=$2" tmpfs "$1" 2>/dev/null || { echo "skipped: full storage (this machine refuses to mount a small one)"; return 1; }
    mounts+=("$1")
  }
  checkpoint_bytes="$(du -s -B1 "$work/uninterrupted/checkpoint-3" | cut -f 1)"

  # --- Scratch that fills up: the trainer ends with 6, what it had saved comes home, model and data that do not fit are refused.
  if small_storage "$work/full scratch" "$((checkpoint_bytes * 5 / 2))"; then
    share="$work/full scratch share" scratch="$work/full scratch/run"
    "${stage[@]}" begin "$share" "$scratch" fresh >/dev/null
    status=0
    train "$scratch" 6 || status=$?
    ((status == 6)) || fail "a full scratch: r1_train ended with $status: $(tail -n 3 "$work/train.log")"
    "${stage[@]}" finish "$share" "$scratch" >"$work/finish.log" 2>&1 || fail "finish from a full scratch: $(tail -n 3 "$work/finish.log")"
    expect_whole "$share"
    [[ -n "$(steps_of "$share")" ]] || fail "a full scratch: nothing came home"
    dd if=/dev/zero of="$work/full scratch/ballast" bs=64k status=none 2>/dev/null || true
    status=0
    "${stage[@]}" copy "$work/model" "$work/full scratch/model" 2>"$work/copy.log" || status=$?
    ((status == 6)) && grep -q "bytes, .* are free" "$work/copy.log" || fail "a copy to a full scratch: exit code $status, $(<"$work/copy.log")"
    [[ ! -e "$work/full scratch/model" ]] || fail "a part of the model is on the full scratch"
  fi

  # --- A share that fills up: what is there stays whole, nothing half has a name, scratch is kept and told; with room everything comes.
  if small_storage "$work/full share" "$((checkpoint_bytes * 5 / 2))"; then
    share="$work/full share/run" scratch="$work/full share scratch/run"
    "${stage[@]}" begin "$share" "$scratch" fresh >/dev/null
    train "$scratch" 2
    watch "$share" "$scratch"
    wait_until '[[ -d "$share/checkpoint-2" ]]'
    touch "$scratch.stop"
    wait "$watcher" || true
    rm -f "$scratch.stop"
    train "$scratch" 5 --resume_from_checkpoint latest
    status=0
    "${stage[@]}" finish "$share" "$scratch" >"$work/finish.log" 2>&1 || status=$?
    ((status == 6)) || fail "a full share: finish ended with $status"
    grep -q "is kept. Make room and run there" "$work/finish.log" || fail "a full share: $(tail -n 2 "$work/finish.log")"
    expect_whole "$share"
    [[ -d "$share/checkpoint-2" ]] || fail "a full share lost its checkpoint"
    [[ -d "$scratch/checkpoint-5" ]] || fail "the newest checkpoint left scratch before the share had it"
    mount -o "remount,size=$((checkpoint_bytes * 12))" "$work/full share"
    "${stage[@]}" finish "$share" "$scratch" >"$work/finish.log" 2>&1 || fail "finish with room: $(tail -n 3 "$work/finish.log")"
    expect_whole "$share"
    [[ -d "$share/checkpoint-5" && -s "$share/model.safetensors" ]] || fail "with room, not everything came: $(steps_of "$share")"
  fi
fi

((failures == 0)) || { echo "$failures failures"; exit 1; }
echo "staging ($mode): passed in $SECONDS s"
