#!/usr/bin/env bash
# The whole recipe as one chain of dependent jobs: generate → select → sft → grpo → evaluate before and after → a table of both.
# Each job starts when the one before has ended well; when one fails, those that wait for it are cancelled.
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: slurm/pipeline.sh CHAIN.yaml [--wait] [--dry-run]
  --wait     waits for the last job and prints its table; exit code 1 when a job failed
  --dry-run  prints the sbatch commands and submits nothing
CHAIN.yaml: output_dir and sections of `key: value` lines (recipes/tiny/pipeline.yaml is one):
  generate   flags of r1_generate; writes output_dir/generated
  select     column (of the prompt), keep: finished|all, verify: column of the gold answer; writes output_dir/selected
  sft, grpo  model, config, accelerator: the recipe, as of train.slurm; all other keys are flags of r1_train
  evaluate   flags of r1_bench; before: the model to compare with (default: the model that sft starts from)
Every section takes nodes, time, partition and gres for sbatch. A section that is left out is left out of the chain.
TEXT
}

die() {
  echo "pipeline.sh: $*" >&2
  exit 2
}

# Prompts and answers of r1_generate's JSON lines as conversations to train on.
# select_answers FOLDER COLUMN KEEP VERIFY OUTPUT
select_answers() {
  local generated="$1" column="$2" keep="$3" verify="$4" output="$5" rows grades
  mkdir -p "$output"
  rows="$(mktemp)"
  grades="$(mktemp)"
  # One line an answer: what becomes a row, and what is graded. A prompt column holds text or messages.
  cat "$generated"/part-*.jsonl | jq -nc --arg column "$column" --arg keep "$keep" --arg verify "$verify" '
    def column($name): if has($name) then .[$name] 
      else error("expected a column \($name) in row \(input_line_number), found \(keys | join(", "))") end;
    inputs
    | column($column) as $prompt
    | (if $verify == "" then "" else column($verify) end) as $gold
    | [.generations, .finish_reasons] | transpose[]
    | select($keep == "all" or .[1] == "stop")
    | {row: {prompt: (if $prompt | type == "string" then [{role: "user", content: $prompt}] else $prompt end),
             completion: [{role: "assistant", content: .[0]}]},
       grade: {gold: ($gold | if type == "string" then . else tojson end), pred: .[0]}}' >"$rows" || exit 3
  if [[ -n "$verify" ]]; then
    # A row that cannot be graded is an error line, which is not "correct"; exit code 3 says only that there was one.
    jq -c .grade "$rows" | "${R1_BIN:-build/bin}/r1_inspect" verify >"$grades" || (($? == 3))
  else
    sed 's/.*/{"correct":true}/' "$rows" >"$grades"
  fi
  # Compact JSON holds no tab of its own.
  paste "$grades" "$rows" | jq -Rc 'split("\t") | map(fromjson) | select(.[0].correct == true) | .[1].row' >"$output/rows.tmp"
  echo "$(wc -l <"$output/rows.tmp") of $(wc -l <"$rows") answers (keep: $keep${verify:+, right by column '$verify'}) go on to sft: $output"
  rm -f "$rows" "$grades"
  [[ -s "$output/rows.tmp" ]] || die "no answer is left to train on; 'keep: all' keeps unfinished ones"
  mv "$output/rows.tmp" "$output/train.jsonl"
}

start_folder="$PWD"
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."
site_file="${R1_SLURM_ENV:-slurm/env.sh}"
[[ -f "$site_file" ]] || die "expected the site's settings in '$site_file', found no such file"
# shellcheck source=slurm/env.sh
source "$site_file"

command -v jq >/dev/null || die "expected the program 'jq' in PATH, found none; tools/install_deps.sh installs it"
chain="" dry_run=0 wait_for_end=0
while (($# > 0)); do
  case "$1" in
    --help | -h) usage; exit 0 ;;
    --dry-run) dry_run=1 ;;
    --wait) wait_for_end=1 ;;
    # The chain's second job.
    --select) shift; select_answers "$@"; exit 0 ;;
    -*) die "unknown argument '$1' (see --help)" ;;
    *) [[ -z "$chain" ]] || die "expected one file, found also '$1'"; chain="$1" ;;
  esac
  shift
done
[[ -n "$chain" ]] || { usage >&2; exit 2; }
[[ "$chain" == /* ]] || chain="$start_folder/$chain"
[[ -f "$chain" ]] || die "no file '$chain'"

# The file as lines of section, key and value with tabs between. Sections are at the margin and end in a colon.
entries="$(awk '
  function refuse(what) {printf "pipeline.sh: %s:%d: %s\n", FILENAME, FNR, what >"/dev/stderr"; failed = 1; exit 2}
  {line = $0; sub(/[ \t\r]+$/, "", line)}
  line ~ /^[ \t]*(#.*)?$/ {next}
  line !~ /^ *[A-Za-z_-]+:( |$)/ {refuse("expected `key: value` or `section:`, found " line)}
  {
    indented = line ~ /^ /
    sub(/^ +/, "", line)
    key = line; sub(/:.*/, "", key); gsub(/-/, "_", key)
    value = line; sub(/^[^:]*: */, "", value)
    if (value ~ /^"/) {if (!match(value, /^"[^"]*"/)) refuse("a quote is not closed"); value = substr(value, 2, RLENGTH - 2)}
    else if (value ~ /^\047/) {if (!match(value, /^\047[^\047]*\047/)) refuse("a quote is not closed"); value = substr(value, 2, RLENGTH - 2)}
    else {sub(/^#.*/, "", value); sub(/ +#.*$/, "", value)}
    if (!indented && value == "") {
      if (key !~ /^(generate|select|sft|grpo|evaluate)$/) refuse("unknown section " key "; there are generate, select, sft, grpo, evaluate")
      section = key; print section "\t\t"; next
    }
    if (!indented) {
      if (key != "output_dir") refuse("unknown key " key " outside a section; there is output_dir")
      print "-\t" key "\t" value; next
    }
    if (section == "") refuse("an indented line before the first section")
    print section "\t" key "\t" value
  }
  END {exit failed ? 2 : 0}' "$chain")" || exit 2

has() { grep -q "^$1"$'\t' <<<"$entries"; }
# The value of a key, else the default. value SECTION KEY [DEFAULT]
value() {
  local found
  found="$(awk -F '\t' -v section="$1" -v key="$2" '$1 == section && $2 == key {print $3}' <<<"$entries" | tail -n 1)"
  echo "${found:-${3:-}}"
}

output="$(value - output_dir)"
[[ -n "$output" ]] || die "$chain has no output_dir"
[[ "$output" == /* ]] || output="$PWD/$output"
[[ ! -e "$output" ]] || die "'$output' exists: a chain starts with an empty folder; remove it, or name another as output_dir in $chain"
has generate || has sft || has grpo || has evaluate || die "$chain has no section; there are generate, select, sft, grpo, evaluate"
for section in sft grpo; do
  if has "$section"; then
    for key in model config; do [[ -n "$(value "$section" "$key")" ]] || die "$chain: section $section has no '$key'"; done
  fi
done
before="$(value evaluate before "$(value sft model_name_or_path "$(value grpo model_name_or_path)")")"
if has evaluate; then
  [[ -n "$(value evaluate tasks)" ]] || die "$chain: section evaluate has no 'tasks'"
  [[ -n "$before" ]] || die "$chain: section evaluate has no 'before', and sft no model_name_or_path"
fi
((dry_run)) || mkdir -p "$output/logs"

# The flags of a section: all keys but those that are for sbatch or named. Sets `flags`. section_flags SECTION KEYS TO LEAVE OUT…
section_flags() {
  local section key text taken=" nodes time partition gres ${*:2} "
  flags=()
  while IFS=$'\t' read -r section key text; do
    [[ "$section" == "$1" && -n "$key" && "$taken" != *" $key "* ]] || continue
    flags+=("--$key=$text")
  done <<<"$entries"
}

last="" jobs=()
# Queues a job behind those of `after` (default: the one before). submit SECTION NAME COMMAND…
submit() {
  local section="$1" name="$2" key job command=(sbatch --parsable "--job-name=$2" "--output=$output/logs/%x-%j.out")
  shift 2
  for key in nodes time partition gres; do
    [[ -z "$(value "$section" "$key")" ]] || command+=("--$key=$(value "$section" "$key")")
  done
  local behind="${after-$last}"
  [[ -z "$behind" ]] || command+=("--dependency=afterok:$behind" --kill-on-invalid-dep=yes)
  command+=("$@")
  if ((dry_run)); then
    printf '%q ' "${command[@]}"
    echo
    last="<$name>"
    return
  fi
  job="$("${command[@]}")" || {
    ((${#jobs[@]} == 0)) || scancel "${jobs[@]}"
    die "sbatch refused '$name'; its message is above. The chain's other jobs are cancelled"
  }
  last="${job%%;*}"
  jobs+=("$last")
  echo "$name: job $last${behind:+, after ${behind//:/ and }}"
}

# An override as train.slurm takes it: one word within its quotes. Sets `quoted`.
quote_overrides() {
  local flag
  quoted=()
  for flag in "$@"; do quoted+=("'${flag//\'/\'\"\'\"\'}'"); done
}

model=""
if has generate; then
  section_flags generate hf_output_dataset output_format
  submit generate generate slurm/generate.slurm "${flags[@]}" --output-format=jsonl "--hf-output-dataset=$output/generated"
  # One process on one node; quoted for the shell that --wrap starts.
  after="$last" submit select select --nodes=1 --ntasks=1 --wrap "$(printf '%q ' slurm/pipeline.sh --select "$output/generated" \
    "$(value select column "$(value generate prompt_column prompt)")" "$(value select keep finished)" "$(value select verify)" "$output/selected")"
fi
for section in sft grpo; do
  has "$section" || continue
  section_flags "$section" model config accelerator output_dir
  [[ "$section" != sft ]] || ! has generate || flags+=("--dataset_name=$output/selected")
  [[ -z "$model" ]] || flags+=("--model_name_or_path=$model")
  model="$output/$section"
  quote_overrides "${flags[@]}" "--output_dir=$model"
  submit "$section" "$section" slurm/train.slurm "$(value "$section" model)" "$section" "$(value "$section" config)" \
    "$(value "$section" accelerator zero3)" "${quoted[@]}"
done
if has evaluate; then
  [[ -n "$model" ]] || die "$chain: evaluate needs an sft or grpo section before it"
  section_flags evaluate before output_dir model
  trained="$last"
  after="" submit evaluate evaluate_before slurm/evaluate.slurm "${flags[@]}" "--model=$before" "--output-dir=$output/bench/before"
  first="$last"
  after="$trained" submit evaluate evaluate_after slurm/evaluate.slurm "${flags[@]}" "--model=$model" "--output-dir=$output/bench/after"
  R1_RANKS_PER_NODE=1 after="$first:$last" submit compare compare --nodes=1 slurm/evaluate.slurm \
    --compare "$output/bench/before" "$output/bench/after" --output-dir "$output/bench"
fi
((dry_run)) && exit 0
echo "logs: $output/logs; 'scancel ${jobs[*]}' ends the chain"
((wait_for_end)) || exit 0

# A job that waits for one that failed is cancelled by Slurm, so the last job always ends.
while true; do
  # Slurm may be slow to answer; a job that it has forgotten has ended.
  state="$(scontrol show job "$last" 2>/dev/null | sed -n 's/^ *JobState=\([A-Z_]*\).*/\1/p')"
  case "$state" in PENDING | RUNNING | COMPLETING | CONFIGURING | REQUEUED | SUSPENDED) sleep "${R1_POLL_SECONDS:-5}" ;; *) break ;; esac
done
failed=0
for job in "${jobs[@]}"; do
  state="$(scontrol show job "$job" 2>/dev/null | sed -n 's/^ *JobState=\([A-Z_]*\).*/\1/p')"
  [[ "${state:-COMPLETED}" == COMPLETED ]] || { echo "job $job: $state" >&2; failed=1; }
done
cat "$output"/logs/*-"$last".out 2>/dev/null || true
((failed == 0)) || { echo "pipeline.sh: the chain did not end well; the logs are in $output/logs" >&2; exit 1; }
