#!/usr/bin/env bash
# commands.sh [PLANISH_LLAMA]: the commands in the ```sh blocks of the documents exist: scripts parse, presets are
# defined, subcommands of planish-llama know every option that is written after them.
set -u
program=${1:-}
failed=0
complain() { echo "$1"; failed=1; }

while IFS=$'\t' read -r page line; do
  line=${line%%#*}
  # shellcheck disable=SC2086
  set -- $line
  case "${1:-}" in
    bash) [ -f "$2" ] && bash -n "$2" || complain "$page: '$line': no such script" ;;
    python3) [ -f "$2" ] || complain "$page: '$line': no such script" ;;
    cmake)
      if [[ $line == *"--preset"* ]]; then
        preset=${line##*--preset }
        grep -q "\"name\": \"${preset%% *}\"" CMakePresets.json || complain "$page: '$line': no such preset"
      fi ;;
    planish-llama | */planish-llama)
      [ -n "$program" ] || continue
      help=$("$program" "$2" --help 2>&1) || complain "$page: '$line': no subcommand $2"
      for word in "${@:3}"; do
        [[ $word != --* ]] || grep -q -e "${word%%=*}" <<<"$help" || complain "$page: '$line': $2 has no $word"
      done ;;
    "" | git | cd | g++ | clang++ | ctest | pip | sudo) ;;
    *) complain "$page: '$line': unknown command $1" ;;
  esac
done < <(for page in README.md docs/*.md docs/decisions/*.md; do
  [ -f "$page" ] && awk -v page="$page" '/^```sh$/ { on = 1; next } /^```/ { on = 0 } on { sub(/^\$ /, ""); print page "\t" $0 }' "$page"
done)
exit "$failed"
