#!/usr/bin/env bash
# recipes.sh: what can be said of the recipes in packaging/ without their tools: Python and JSON parse, the versions are
# the one of core/version.hpp, the options that the port sets exist.
set -u
cd "$(dirname "$0")/../.."
failed=0
complain() { echo "$1"; failed=1; }
version=$(awk '/^#define PLANISH_VERSION_(MAJOR|MINOR|PATCH) / { printf "%s%s", dot, $3; dot = "." }' include/planish/core/version.hpp)

port=packaging/vcpkg/planish
grep -q "\"version\": \"$version\"" $port/vcpkg.json || complain "$port/vcpkg.json is not of version $version"
for option in $(grep -o '[-]DPLANISH_[A-Z_]*' $port/portfile.cmake); do
  grep -q "option(${option#-D} " CMakeLists.txt || complain "$port/portfile.cmake: there is no option ${option#-D}"
done
if ! command -v python3 >/dev/null; then echo "without python3: nothing is parsed"; exit "$failed"; fi
python3 -m json.tool $port/vcpkg.json >/dev/null || complain "$port/vcpkg.json is no JSON"
for recipe in packaging/conan/conanfile.py packaging/conan/test_package/conanfile.py; do
  python3 -c 'import ast, sys; ast.parse(open(sys.argv[1]).read(), sys.argv[1])' "$recipe" || complain "$recipe is no Python"
done
python3 - "$version" <<'PYTHON' || complain "the Conan recipe reads another version than $version"
import re, sys
recipe = open("packaging/conan/conanfile.py").read()
pattern = re.search(r're\.findall\(r"(.*)", header\)', recipe).group(1)
sys.exit(".".join(re.findall(pattern, open("include/planish/core/version.hpp").read())) != sys.argv[1])
PYTHON
exit "$failed"
