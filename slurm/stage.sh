#!/usr/bin/env bash
# Staging between storage that all nodes see (the share) and a fast scratch folder. train.slurm uses it when env.sh sets R1_SCRATCH; by hand
# it brings home what a job had to leave on a node. docs/slurm.md, "Staging", describes the order of events.
set -euo pipefail

stage_usage() {
  cat <<'TEXT'
usage: slurm/stage.sh copy SOURCE TARGET                     one verified copy of a file or folder; one that is there already stays
       slurm/stage.sh begin OUTPUT LOCAL fresh|continue      the newest verified checkpoint and the run's files to LOCAL
       slurm/stage.sh watch OUTPUT LOCAL [options]           finished checkpoints of LOCAL back to OUTPUT, until LOCAL.stop appears
       slurm/stage.sh finish OUTPUT LOCAL [options]          everything that is missing in OUTPUT, verified; then LOCAL is removed
OUTPUT: the run's folder on the share. LOCAL: its folder on scratch.
  --save-total-limit N   checkpoints that stay in OUTPUT
R1_BIN: folder of r1_inspect (default build/bin). Exit codes: 0, 2 (usage), 3 (nothing verified), 6 (no room, or a write failed).
TEXT
}

stage_say() { echo "stage: $*"; }
stage_fail() {
  local code="$1"
  shift
  echo "stage: $*" >&2
  exit "$code"
}

# Bytes that a path takes (HDF5's alignment leaves holes that take none), and those free in a folder.
stage_bytes() { du -sL -B1 "$1" | cut -f 1; }
stage_free() { df -B1 --output=avail "$1" | tail -n 1 | tr -d ' '; }

# Flushes the files of a folder (or one file) to the storage and forgets what memory holds of them, so that reading back reads the storage.
stage_flush() {
  find "$1" -exec sync {} + || return 1
  find "$1" -type f -exec dd iflag=nocache count=0 status=none if={} \; 2>/dev/null || true
}

# Whether a checkpoint's folder is whole. One without state (save_only_model) has no manifest: it is compared with what it was copied from.
stage_is_whole() {
  if [[ -f "$1/manifest.json" ]]; then
    "${R1_BIN:-build/bin}/r1_inspect" checkpoint "$1" --verify >/dev/null 2>&1
  elif [[ -n "${2:-}" ]]; then
    diff -rq "$1" "$2" >/dev/null 2>&1
  else
    return 1
  fi
}

# The steps of FOLDER/checkpoint-N, the newest first.
stage_steps() {
  local entry
  for entry in "$1"/checkpoint-*; do
    [[ -d "$entry" && "${entry##*/checkpoint-}" =~ ^[0-9]+$ ]] && echo "${entry##*/checkpoint-}"
  done | sort -rn
}

# --- copy: model and data. The checksum is taken while the source is read, so that the share is read once.
stage_copy_file() {
  local wanted found
  mkdir -p "$(dirname "$2")"
  wanted="$(tee "$2" <"$1" | b2sum)" || return 1
  stage_flush "$2" || return 1
  found="$(b2sum <"$2")" || return 1
  [[ "$wanted" == "$found" ]]
}

stage_copy() {
  local source="$1" target="$2" temporary file
  temporary="$2.tmp.$(hostname).$$"
  if [[ -e "$target" ]]; then return; fi
  [[ -e "$source" ]] || stage_fail 2 "expected '$source' to copy, found nothing"
  mkdir -p "$(dirname "$target")" || stage_fail 6 "cannot write in '$(dirname "$target")' on $(hostname)"
  if (($(stage_bytes "$source") > $(stage_free "$(dirname "$target")"))); then
    stage_fail 6 "'$source' needs $(stage_bytes "$source") bytes, $(stage_free "$(dirname "$target")") are free in '$(dirname "$target")' on $(hostname)"
  fi
  if [[ -f "$source" ]]; then
    stage_copy_file "$source" "$temporary" || { rm -rf "$temporary"; stage_fail 6 "'$source' could not be copied to '$target' on $(hostname)"; }
  else
    mkdir -p "$temporary"
    while IFS= read -r -d '' file; do
      stage_copy_file "$source/$file" "$temporary/$file" || { rm -rf "$temporary"; stage_fail 6 "'$source/$file' could not be copied to '$target' on $(hostname)"; }
    done < <(cd "$source" && find -L . -type f -print0)
  fi
  # The final name appears at once and whole; another process of this node may have been faster.
  mv -T "$temporary" "$target" 2>/dev/null || rm -rf "$temporary"
  [[ -e "$target" ]] || stage_fail 6 "'$target' could not be put in place on $(hostname)"
  stage_say "$(hostname): $target ($(stage_bytes "$target") bytes, verified)"
}

# --- begin
# The files of a run beside its checkpoints: what the trainer writes, not what evaluation jobs add and not half-written ones.
stage_run_files() {
  (cd "$1" && find . -name 'checkpoint-*' -prune -o -path ./benchmarks -prune -o -type f ! -name run.lock ! -name latest ! -name '*.tmp*' ! -name '.stage.*' -print0)
}

# What an earlier run left and overwrite_output_dir replaces; the plan has refused a folder in use without that.
stage_clear() {
  local entry
  for entry in "$1"/checkpoint-* "$1"/{completions,runs,benchmarks,latest,metrics.jsonl,samples.jsonl,trainer_state.json,train_results.json,all_results.json,eval_results.json,report.html}; do
    [[ ! -e "$entry" ]] || rm -rf "$entry"
  done
}

stage_begin() {
  local output="$1" local_folder="$2" step file
  mkdir -p "$output" "$local_folder"
  rm -rf "$local_folder.stop" "$local_folder.pinned"
  if [[ "$3" == fresh ]]; then
    stage_clear "$output"
    stage_clear "$local_folder"
    return
  fi
  rm -rf "$output"/checkpoint-*.tmp.*
  # Killed between the two renames of a replacement: the old one is still the checkpoint of its step.
  for file in "$output"/checkpoint-*.old.*; do
    [[ ! -d "$file" ]] || mv -T "$file" "${file%.old.*}" 2>/dev/null || rm -rf "$file"
  done
  for step in $({ stage_steps "$local_folder"; stage_steps "$output"; } | sort -rnu); do
    # The same job, started again on the same node, finds its own.
    if stage_is_whole "$local_folder/checkpoint-$step"; then
      stage_say "goes on from $local_folder/checkpoint-$step, which this node still has"
      return
    fi
    [[ -d "$output/checkpoint-$step" ]] || { stage_say "$local_folder/checkpoint-$step is not whole: skipped"; continue; }
    rm -rf "$local_folder/checkpoint-$step" "$local_folder"/checkpoint-*.tmp.*
    if cp -r "$output/checkpoint-$step" "$local_folder/checkpoint-$step.tmp.stage" && stage_flush "$local_folder/checkpoint-$step.tmp.stage" &&
      stage_is_whole "$local_folder/checkpoint-$step.tmp.stage"; then
      # The lines of metrics that belong to this checkpoint, in place of those that an earlier life left here.
      while IFS= read -r -d '' file; do
        mkdir -p "$local_folder/$(dirname "$file")"
        cp -p "$output/$file" "$local_folder/$file"
      done < <(stage_run_files "$output")
      mv -T "$local_folder/checkpoint-$step.tmp.stage" "$local_folder/checkpoint-$step"
      stage_say "goes on from $output/checkpoint-$step, fetched and verified"
      return
    fi
    rm -rf "$local_folder/checkpoint-$step.tmp.stage"
    stage_say "$output/checkpoint-$step is not whole, or scratch has no room for it: skipped"
  done
  stage_say "no verified checkpoint in $output: the run starts at step 0"
}

# --- watch and finish
# The run's files that differ on the share. With "verify" each copy is compared before it gets its name; without, the trainer may be writing.
stage_sync_files() {
  local local_folder="$1" output="$2" mode="${3:-}" file temporary failed=0
  while IFS= read -r -d '' file; do
    if [[ -e "$output/$file" && "$(stat -c '%s %y' "$local_folder/$file" 2>/dev/null)" == "$(stat -c '%s %y' "$output/$file")" ]]; then continue; fi
    temporary="$output/$(dirname "$file")/.stage.${file##*/}"
    if mkdir -p "$(dirname "$temporary")" && cp -p "$local_folder/$file" "$temporary" 2>/dev/null && sync "$temporary" &&
      { [[ "$mode" != verify ]] || cmp -s "$local_folder/$file" "$temporary"; } && mv -f "$temporary" "$output/$file"; then
      continue
    fi
    rm -f "$temporary"
    # The trainer renames and deletes: what is gone needs no copy.
    [[ ! -e "$local_folder/$file" ]] || failed=1
  done < <(stage_run_files "$local_folder")
  return "$failed"
}

# One checkpoint to the share: never a final name before it has been read back and found whole.
stage_publish() {
  local local_folder="$1" output="$2" step="$3" pinned="$1.pinned/checkpoint-$3" temporary
  temporary="$output/checkpoint-$step.tmp.stage-${SLURM_JOB_ID:-$$}"
  # Links hold the bytes when save_total_limit deletes the folder during the copy.
  rm -rf "$pinned"
  mkdir -p "$local_folder.pinned"
  cp -al "$local_folder/checkpoint-$step" "$pinned" 2>/dev/null || { rm -rf "$pinned"; [[ ! -d "$local_folder/checkpoint-$step" ]]; return; }
  rm -rf "$temporary"
  if ! { cp -rL "$pinned" "$temporary" && stage_flush "$temporary" && stage_is_whole "$temporary" "$pinned"; }; then
    if [[ -f "$pinned/manifest.json" ]] && ! stage_is_whole "$pinned"; then
      stage_say "$local_folder/checkpoint-$step is damaged on scratch: not staged"
    else
      stage_say "$output: checkpoint-$step could not be staged ($(stage_bytes "$pinned") bytes needed, $(stage_free "$output") free); the older ones stay"
    fi
    rm -rf "$temporary" "$pinned"
    return 1
  fi
  # A folder of that name is of an earlier life that ended before this step was reached again.
  if [[ -d "$output/checkpoint-$step" ]]; then mv -T "$output/checkpoint-$step" "$output/checkpoint-$step.old.${SLURM_JOB_ID:-$$}" || return 1; fi
  mv -T "$temporary" "$output/checkpoint-$step" && sync "$output" || return 1
  rm -rf "$output/checkpoint-$step".old.* "$pinned"
  # The lines up to this step, before a later start may rely on them.
  stage_sync_files "$local_folder" "$output" || true
  if [[ "$(stage_steps "$output" | head -n 1)" == "$step" ]]; then
    { echo "checkpoint-$step" >"$output/.stage.latest" && mv -f "$output/.stage.latest" "$output/latest"; } || true
  fi
  stage_say "$output/checkpoint-$step: staged and verified"
}

# What may go after a checkpoint is safe: older ones beyond save_total_limit on the share, older ones on scratch that the share has.
stage_retire() {
  local local_folder="$1" output="$2" limit="$3" step count=0
  for step in $(stage_steps "$output"); do
    count=$((count + 1))
    if [[ -n "$limit" ]] && ((count > (limit > 1 ? limit : 1))); then rm -rf "$output/checkpoint-$step"; fi
  done
  for step in $(stage_steps "$local_folder" | tail -n +2); do
    if [[ -f "$local_folder.pinned/done-$step" ]]; then rm -rf "$local_folder/checkpoint-$step"; fi
  done
}

# Which write of a step's folder: a replaced one is another.
stage_identity() { stat -c '%i %Y' "$1/checkpoint-$2" 2>/dev/null; }

# Everything that is finished and not yet there, the newest first. Fails when something could not be brought.
stage_round() {
  local local_folder="$1" output="$2" limit="$3" step done_file failed=0
  mkdir -p "$local_folder.pinned" 2>/dev/null || return 1
  for step in $(stage_steps "$local_folder"); do
    done_file="$local_folder.pinned/done-$step"
    if [[ "$(cat "$done_file" 2>/dev/null || true)" == "$(stage_identity "$local_folder" "$step" || true)" ]]; then continue; fi
    # What save_total_limit would delete at once is not brought; a fetched or an already staged one is only read.
    if [[ -n "$limit" ]] && (($(stage_steps "$output" | awk -v step="$step" '$1 > step' | wc -l) >= limit)); then continue; fi
    if cmp -s "$local_folder/checkpoint-$step/manifest.json" "$output/checkpoint-$step/manifest.json" && stage_is_whole "$output/checkpoint-$step"; then
      :
    elif ! stage_publish "$local_folder" "$output" "$step"; then
      failed=1
      continue
    fi
    [[ -d "$output/checkpoint-$step" ]] || continue
    # Scratch may be full to the last byte: then the next round finds the same checkpoint on the share by its manifest.
    stage_identity "$local_folder" "$step" >"$done_file" 2>/dev/null || rm -f "$done_file"
    stage_evaluate "$local_folder" "$output/checkpoint-$step"
    stage_retire "$local_folder" "$output" "$limit"
  done
  return "$failed"
}

# Queues the benchmarks that r1_train has asked for in LOCAL/benchmarks; they never stop the staging.
stage_evaluate() {
  [[ -s "$1/benchmarks/names" ]] || return 0
  "$(dirname "${BASH_SOURCE[0]}")/../scripts/evaluate_checkpoint" "$2" --request "$1/benchmarks" </dev/null ||
    stage_say "warning: the benchmarks of $2 were not queued; training goes on. By hand: scripts/evaluate_checkpoint '$2' --request FOLDER"
}

stage_watch() {
  local output="$1" local_folder="$2" limit="$3" pause
  while [[ ! -e "$local_folder.stop" ]]; do
    pause=1
    # After a failure (a full share, say) the same bytes are not sent again every second.
    stage_round "$local_folder" "$output" "$limit" || pause=10
    stage_sync_files "$local_folder" "$output" || true
    if [[ -f "$output/run.lock" ]]; then touch -c "$output/run.lock" || true; fi
    while ((pause-- > 0)) && [[ ! -e "$local_folder.stop" ]]; do sleep 1; done
  done
}

stage_finish() {
  local output="$1" local_folder="$2" limit="$3" failed=0
  [[ -d "$local_folder" ]] || stage_fail 2 "expected the folder '$local_folder' on $(hostname), found none"
  mkdir -p "$output"
  stage_round "$local_folder" "$output" "$limit" || failed=1
  stage_sync_files "$local_folder" "$output" verify || failed=1
  if ((failed)); then
    stage_fail 6 "not everything is in '$output' ($(stage_free "$output") bytes free there); '$local_folder' on $(hostname) is kept. Make room and run there: slurm/stage.sh finish '$output' '$local_folder'"
  fi
  stage_say "$output: everything is there, verified"
  rm -rf "$local_folder" "$local_folder.stop" "$local_folder.pinned"
}

stage_main() {
  local command="${1:-}" limit="" positional=()
  (($# > 0)) && shift
  while (($# > 0)); do
    case "$1" in
      --save-total-limit) limit="${2:?--save-total-limit: expected a number}"; shift ;;
      --*) stage_fail 2 "unknown flag '$1' (slurm/stage.sh --help)" ;;
      *) positional+=("${1%/}") ;;
    esac
    shift
  done
  local expected=2
  [[ "$command" != begin ]] || expected=3
  case "$command" in
    --help | -h) stage_usage; return ;;
    copy | begin | watch | finish) ((${#positional[@]} == expected)) || stage_fail 2 "$command: expected $expected paths or words, found ${#positional[@]} (slurm/stage.sh --help)" ;;
    *) stage_usage >&2; exit 2 ;;
  esac
  case "$command" in
    copy) stage_copy "${positional[@]}" ;;
    begin)
      [[ "${positional[2]}" == fresh || "${positional[2]}" == continue ]] || stage_fail 2 "begin: expected fresh or continue, found '${positional[2]}'"
      stage_begin "${positional[@]}"
      ;;
    watch) stage_watch "${positional[@]}" "$limit" ;;
    finish) stage_finish "${positional[@]}" "$limit" ;;
  esac
}

stage_main "$@"
