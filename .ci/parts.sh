# Sourced by .ci/run and .ci/nightly: their parts, counted together.
passed=0 failed=0 broken=()

# part NAME COMMAND...: adds the command's own "N passed, N failed" to the sum, or counts it as one.
part() {
  local name=$1 began=$SECONDS output status last
  shift
  output=$(mktemp)
  echo "== $name"
  "$@" 2>&1 | tee "$output"
  status=${PIPESTATUS[0]}
  last=$(grep -E '^[0-9]+ passed, [0-9]+ failed$' "$output" | tail -n 1)
  rm -f "$output"
  if [ -n "$last" ]; then
    read -r good _ bad _ <<<"$last"
    passed=$((passed + good)) failed=$((failed + bad))
  elif [ "$status" = 0 ]; then
    passed=$((passed + 1))
  elif [ "$status" != 77 ]; then
    failed=$((failed + 1))
  fi
  [ "$status" = 0 ] || [ "$status" = 77 ] || broken+=("$name")
  echo "== $name: $((SECONDS - began)) s"
}

# finish: the last line; fails unless every part passed.
finish() {
  [ ${#broken[@]} = 0 ] || { printf 'broken:'; printf ' %s;' "${broken[@]}"; echo; }
  echo "$passed passed, $failed failed"
  [ "$failed" = 0 ] && [ ${#broken[@]} = 0 ]
}
