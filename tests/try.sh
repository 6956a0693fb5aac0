# Sourced by scripts that try many compilations: tries, counted; `log` names the file that holds what the last one said.
passed=0 failed=0

try() { # try WHAT COMMAND...
  local what=$1
  shift
  if "$@" >"$log" 2>&1; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    echo "failed: $what"
    grep -m 5 -E "error|warning|ERROR" "$log" || tail -n 5 "$log"
  fi
}

# build_tests FOLDER OUT COMMAND...: the tests of a folder as the program OUT/tests; COMMAND compiles and links, objects
# two at a time.
build_tests() {
  local folder=$1 out=$2
  shift 2
  mkdir -p "$out"
  printf '%s\n' tests/main.cpp tests/"$folder"/*_test.cpp |
    xargs -P 2 -I{} sh -c 'exec "$@" -c {} -o "'"$out"'/$(basename {} .cpp).o"' sh "$@" && "$@" "$out"/*.o -o "$out/tests"
}

# finish: the last line; fails unless every try passed.
finish() {
  echo "$passed passed, $failed failed"
  [ "$failed" = 0 ]
}
