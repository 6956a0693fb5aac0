# Sourced by the scripts that people run first. install_missing PACKAGE:PROBE... installs the Debian packages whose
# probe (a command, a file under an include folder, or a whole path) is not there yet; needs root only when something is
# missing.
install_missing() {
  local entry probe missing=()
  for entry; do
    probe=${entry#*:}
    case $probe in
      /*) compgen -G "$probe" >/dev/null || missing+=("${entry%%:*}") ;;
      */* | *.h | *.hpp)
        compgen -G "/usr/include/$probe" >/dev/null || compgen -G "/usr/include/*/$probe" >/dev/null ||
          compgen -G "/usr/local/include/$probe" >/dev/null || missing+=("${entry%%:*}") ;;
      *) command -v "$probe" >/dev/null || missing+=("${entry%%:*}") ;;
    esac
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  local as_root=()
  if [ "$(id -u)" != 0 ]; then
    if ! command -v sudo >/dev/null || ! sudo -n true 2>/dev/null; then
      echo "missing: ${missing[*]}; install them first: sudo apt-get install ${missing[*]}" >&2
      return 2
    fi
    as_root=(sudo -n)
  fi
  if ! command -v apt-get >/dev/null; then
    echo "missing: ${missing[*]} (Debian's names); install them with this system's package manager" >&2
    return 2
  fi
  echo "installing ${missing[*]}"
  local log
  log=$(mktemp)
  if ! { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -q &&
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
    echo "could not install ${missing[*]}: $(grep -m 1 '^E:' "$log" || tail -n 1 "$log"); install them by hand, or give this machine a network" >&2
    rm -f "$log"
    return 2
  fi
  rm -f "$log"
}

build_packages=(g++:g++ cmake:cmake ninja-build:ninja libxsimd-dev:xsimd/xsimd.hpp libeigen3-dev:eigen3/Eigen/Core
  nlohmann-json3-dev:nlohmann/json.hpp libcli11-dev:CLI/CLI.hpp libpcre2-dev:pcre2.h)
test_packages=(doctest-dev:doctest/doctest.h)
bench_packages=(libbenchmark-dev:benchmark/benchmark.h)
clang_packages=(clang:clang++ "libclang-rt-dev:/usr/lib/llvm-*/lib/clang/*/lib/linux/libclang_rt.asan-$(uname -m).a")

# first_error LOG: what stopped a build, as one line: CMake's own words, or the first error of the compiler.
first_error() {
  awk '
    /^CMake Error/ && cmake == "" { cmake = "CMake"; next }
    cmake == "CMake" && /^ +[^ ]/ { sub(/^ +/, ""); said = said (said == "" ? "" : " ") $0; next }
    cmake == "CMake" && said != "" { cmake = "done" }
    compiler == "" && /(error|ERROR|Error): / { compiler = $0 }
    compiler == "" && /No space left on device/ { compiler = $0 }
    { if ($0 != "") last = $0 }
    END { print said != "" ? said : compiler != "" ? compiler : last }' "$1"
}

# Compiler launcher options for CMake: ccache where there is one.
launcher=()
if command -v ccache >/dev/null; then launcher=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache); fi
