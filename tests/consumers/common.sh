# Sourced by the consumers' run.sh, with these set by tests/consumers/run.sh: SOURCE (planish's tree), PREFIX (an
# installed copy), PROGRAM (the sources they share), WORK (this consumer's folder), CMAKE, CXX, LAUNCHER (may be empty).
warnings=(-Wall -Wextra -Wconversion -Wshadow -Werror)

# quietly COMMAND...: runs it and shows how what it said begins only if it fails.
quietly() {
  "$@" >"$WORK/log" 2>&1 || { head -n 40 "$WORK/log"; echo "failed: $*"; return 1; }
}

# configure FOLDER BUILD OPTION...: a CMake project that consumes planish.
configure() {
  local folder=$1 build=$2
  shift 2
  quietly "$CMAKE" -S "$folder" -B "$WORK/$build" -G Ninja -DCMAKE_CXX_COMPILER="$CXX" -DPROGRAM="$PROGRAM" \
    ${LAUNCHER:+-DCMAKE_CXX_COMPILER_LAUNCHER="$LAUNCHER"} "$@"
}

# build_and_run BUILD PROGRAM...: builds it all, runs the programs named.
build_and_run() {
  local build=$1 program
  shift
  quietly "$CMAKE" --build "$WORK/$build" || return 1
  for program; do "$WORK/$build/$program" || { echo "failed: $build/$program"; return 1; }; done
}

# compile COMPILER OUTPUT OPTION...: one program without CMake.
compile() {
  local compiler=$1 output=$2
  shift 2
  # shellcheck disable=SC2086
  quietly $LAUNCHER "$compiler" -std=c++20 -O1 "${warnings[@]}" "$@" -o "$WORK/$output"
}

# compilers: the two that planish supports, as far as they are here, and the one that was asked for.
compilers() {
  local found=("$CXX") name
  for name in g++ clang++; do
    if command -v "$name" >/dev/null && [ "$(command -v "$name")" != "$(command -v "$CXX")" ]; then found+=("$name"); fi
  done
  printf '%s\n' "${found[@]}"
}
