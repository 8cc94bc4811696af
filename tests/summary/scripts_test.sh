#!/usr/bin/env bash
# Every shell script of the project parses, begins with the strict mode, and (where shellcheck is) has no finding of it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

mapfile -t scripts < <({
  git ls-files 2>/dev/null || find . \( -path './build*' -o -path './data*' -o -path ./.git \) -prune -o -type f -print
} | while IFS= read -r file; do
  [[ -f "$file" ]] || continue
  if [[ "$file" == *.sh || "$file" == *.slurm ]] || head -c 64 "$file" | grep -aqE '^#!.*\b(ba)?sh\b'; then echo "$file"; fi
done)
((${#scripts[@]} >= 5)) || { echo "found only ${#scripts[@]} scripts: the search is broken"; exit 1; }

status=0
for script in "${scripts[@]}"; do
  bash -n "$script" || status=1
  # A file without an interpreter line is sourced: its caller, perhaps a person's shell, keeps its own mode.
  head -c 2 "$script" | grep -q '^#!' || continue
  grep -q '^set -euo pipefail' "$script" || { echo "$script: does not set -euo pipefail"; status=1; }
done
if command -v shellcheck >/dev/null 2>&1; then shellcheck --severity=warning "${scripts[@]}" || status=1; fi
echo "${#scripts[@]} scripts"
exit "$status"
