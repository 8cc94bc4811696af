# shellcheck shell=bash
# How train.slurm trains on scratch: sourced by it, with what slurm/lib.sh and the plan have set (R1_SCRATCH, nodes, plan_text, output, status).
# shellcheck disable=SC2154 # the variables named above

stage_local="" stage_inputs="" stage_watcher=""
stage_flags=() stage_options=()

# A value of the plan's table, which is `key  value  origin`; nothing for none. planned KEY
planned() {
  local value
  value="$(sed -n "s/^  $1  *\(.*[^ ]\)   *[^ ].*\$/\1/p" <<<"$plan_text" | head -n 1)"
  value="${value%"${value##*[! ]}"}"
  [[ "$value" == none || "$value" == "''" || "$value" == "[]" ]] || echo "$value"
}

# One process on each node of the job.
per_node() {
  if [[ "${R1_LAUNCHER:-srun}" == mpirun ]]; then mpirun --map-by ppr:1:node "$@"; else srun "--nodes=$nodes" "--ntasks=$nodes" --ntasks-per-node=1 "$@"; fi
}

# Keeps other jobs out of the output folder, as the programs do: a kernel lock, and who holds it.
stage_lock() {
  local holder job host
  mkdir -p "$output" || die 6 "cannot make the output folder '$output'"
  exec {stage_lock_file}<>"$output/run.lock" || die 6 "cannot write in '$output'"
  holder="$(<"$output/run.lock")"
  job="$(sed -n 's/.*"job": *"\([^"]*\)".*/\1/p' <<<"$holder")"
  host="$(sed -n 's/.*"host": *"\([^"]*\)".*/\1/p' <<<"$holder")"
  # The processes of this job's last life need a moment to end.
  flock --wait "$([[ "$job" == "${SLURM_JOB_ID:-}" ]] && echo 30 || echo 1)" "$stage_lock_file" || die 2 "'$output' is in use by job $job (host $host); wait for it, stop it, or choose another output_dir"
  # Where the file system does not carry kernel locks, the last sign of life decides.
  if [[ -n "$job" && "$job" != "${SLURM_JOB_ID:-}" && "$host" != "$(hostname)" ]] && (($(date +%s) - $(stat -c %Y "$output/run.lock") < 600)); then
    die 2 "'$output' is in use by job $job (host $host); wait for it, stop it, or choose another output_dir"
  fi
  printf '{"job": "%s", "host": "%s", "pid": %d}\n' "${SLURM_JOB_ID:-none}" "$(hostname)" "$$" >"$output/run.lock"
  # shellcheck disable=SC2064 # the folder as it is now
  trap "rm -f $(printf %q "$output/run.lock")" EXIT
}

# Where a data set lies, as the programs look for it; nothing for built-in ones.
data_path() {
  local folder folders hub entry
  if [[ -e "$1" ]]; then echo "$1"; return; fi
  IFS=: read -r -a folders <<<"${R1_DATA:-}"
  for folder in "${folders[@]}"; do
    if [[ -n "$folder" && -e "$folder/$1" ]]; then echo "$folder/$1"; return; fi
  done
  hub="${HF_HUB_CACHE:-${HUGGINGFACE_HUB_CACHE:-${HF_HOME:-${XDG_CACHE_HOME:-$HOME/.cache}/huggingface}/hub}}"
  entry="$hub/datasets--${1//\//--}"
  if [[ -f "$entry/refs/main" ]]; then echo "$entry/snapshots/$(<"$entry/refs/main")"; fi
}

# Brings one input to every node; then the name is found there first. stage_input KIND NAME PATH FLAG
stage_input() {
  local target="$stage_inputs/$1/$2"
  # A path is given to the program as a path.
  if [[ -e "$2" ]]; then target="$stage_inputs/$1/${2##*/}"; fi
  if ! per_node bash slurm/stage.sh copy "$3" "$target"; then
    echo "== stage: the ${1%s} stays where it is ('$3'); the reason is above"
    per_node rm -rf "$target"
    return
  fi
  if [[ -e "$2" ]]; then stage_flags+=("$4=$target"); fi
}

# Model and data to every node's scratch, the run's state to the scratch that holds the output.
stage_in() {
  local name path scratch="" limit
  stage_inputs="$R1_SCRATCH/r1-job-${SLURM_JOB_ID:-$$}/inputs"
  echo "== stage: model and data to $R1_SCRATCH on each node"
  name="$(planned model_name_or_path)"
  path="$(sed -n 's/^model  *\(.*\): [^ :,]*, [^,]* parameters.*$/\1/p' <<<"$plan_text" | head -n 1)"
  if [[ -n "$path" ]]; then stage_input models "$name" "$path" --model_name_or_path; fi
  name="$(planned dataset_name)"
  path="$(data_path "$name")"
  if [[ -n "$name" && -n "$path" ]]; then stage_input data "$name" "$path" --dataset_name; fi
  export R1_MODELS="$stage_inputs/models:${R1_MODELS:-}" R1_DATA="$stage_inputs/data:${R1_DATA:-}"

  # A checkpoint is one folder that all ranks write: on node-local scratch that takes a job of one node.
  if [[ -n "${R1_SCRATCH_SHARED:-}" ]]; then scratch="$R1_SCRATCH_SHARED"; elif ((nodes == 1)); then scratch="$R1_SCRATCH"; fi
  if [[ -z "$scratch" ]]; then
    echo "== stage: $nodes nodes and no R1_SCRATCH_SHARED in $site_file: checkpoints are written to '$output' directly"
    return
  fi
  stage_lock
  stage_local="$scratch/r1-job-${SLURM_JOB_ID:-$$}/output"
  limit="$(planned save_total_limit)"
  if [[ -n "$limit" ]]; then stage_options+=(--save-total-limit "$limit"); fi
  local life="fresh"
  if ((${SLURM_RESTART_COUNT:-0} > 0)) || [[ -n "$(planned resume_from_checkpoint)" ]]; then life="continue"; fi
  bash slurm/stage.sh begin "$output" "$stage_local" "$life" || die 6 "'$stage_local' could not be prepared; the reason is above"
  stage_flags+=("--output_dir=$stage_local")
  # Tells r1_train that checkpoints are published, and their benchmarks queued, from there.
  export R1_STAGED_OUTPUT="$output"
  echo "== stage: trains in $stage_local; finished checkpoints go to $output in the background"
  # Killed, it starts again; what it has not brought by the end, stage_out brings.
  (until bash slurm/stage.sh watch "$output" "$stage_local" "${stage_options[@]}"; do
    echo "== stage: the background copy ended; it starts again"
    sleep 2
  done) &
  stage_watcher=$!
}

# After the ranks: everything home, verified, before scratch is cleaned.
stage_out() {
  trap '' USR1 TERM
  if [[ -n "$stage_local" ]]; then
    touch "$stage_local.stop" || kill "$stage_watcher" || true
    wait "$stage_watcher" || true
    if bash slurm/stage.sh finish "$output" "$stage_local" "${stage_options[@]}"; then
      rm -df "${stage_local%/output}" 2>/dev/null || true
    elif ((status == 0)); then
      status=6
    fi
  fi
  per_node bash -c 'rm -rf "$1" && { rmdir "${1%/inputs}" 2>/dev/null || true; }' stage "$stage_inputs" || rm -rf "$stage_inputs"
}
