#!/bin/sh
# bench/cuda/run.sh OUT [ARCH]: builds planish-cuda-check into OUT with nvcc, runs it, leaves check.json, check.txt and
# tables.md, the tables of docs/performance.md, there.
# ARCH: what the device is, 90a unless said (80, 86, 89, 90, 100a, 120a). NVCC names another compiler.
set -e
out=$1
arch=${2:-90a}
nvcc=${NVCC:-$(command -v nvcc || echo /usr/local/cuda/bin/nvcc)}
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$out"
flags="-std=c++20 -O3 --split-compile 0 -I$here/../../include -gencode arch=compute_$arch,code=sm_$arch -Xcompiler -O3,-mfma,-mavx2"
pids=
for unit in main rows kronecker multiply group_scales weight_only cache layer_steps libraries; do
  "$nvcc" $flags -c "$here/$unit.cu" -o "$out/$unit.o" &
  pids="$pids $!"
done
for pid in $pids; do wait "$pid"; done
"$nvcc" -o "$out/planish-cuda-check" "$out"/*.o -ldl
rm -f "$out"/*.o
"$out/planish-cuda-check" "$out/check.json" 2>&1 | tee "$out/check.txt"
awk -f "$here/tables.awk" "$out/check.json" >"$out/tables.md"
