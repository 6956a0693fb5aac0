#!/bin/sh
# run.sh NVCC INCLUDE OPCODES [ARCH...]: three units of one program for every architecture, warnings as errors, linked
# without the driver's library and run; no spills but those listed; every kernel of its matrix instructions. The
# examples' units and the page's are read for one architecture, and not optimised.
set -e
nvcc=$1
include=$2
opcodes=$3
shift 3
here=$(cd "$(dirname "$0")" && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
targets=
for arch in ${@:-80}; do targets="$targets -gencode arch=compute_$arch,code=sm_$arch"; done
compile() {
  mkdir "$folder/$1"
  "$nvcc" -std=c++20 -O3 -I"$include" $targets -Werror all-warnings -Xcompiler -Wall,-Wextra -Xptxas -v -keep \
    -keep-dir "$folder/$1" -c "$here/$1.cu" -o "$folder/$1.o" > "$folder/$1.txt" 2>&1
}
compile cache & third=$!
compile rows & first=$!
compile products || { cat "$folder/products.txt"; exit 1; }
wait $first || { cat "$folder/rows.txt"; exit 1; }
wait $third || { cat "$folder/cache.txt"; exit 1; }
read_only() { "$nvcc" -std=c++20 -I"$include" -arch=sm_80 -Xcicc -O0 -ptx -Werror all-warnings -o "$folder/unit.ptx" "$1"; }
awk '/^```cuda$/ { on = 1; next } /^```/ { on = 0 } on' "$here/../../../docs/cuda.md" > "$folder/page.cu"
read_only "$folder/page.cu"
for unit in cuda/fused_linear cuda/torch_op llama/cuda/batch llama/cuda/cache llama/cuda/layer llama/cuda/linear \
            llama/cuda/model llama/cuda/session llama/cuda/site; do
  read_only "$here/../../../examples/$unit.cu"
done
"$nvcc" $targets -o "$folder/program" "$folder/rows.o" "$folder/products.o" "$folder/cache.o"
code=0
"$folder/program" || code=$?
[ $code -eq 0 ] || [ $code -eq 77 ] || { echo "the program ends with $code"; exit 1; }
# Products of warpgroups that wait for each other, and registers that a role does not get.
if grep -E "wgmma.*serialized|setmaxnreg.*ignored|C75[01][0-9]" "$folder"/*.txt; then exit 1; fi
# Kernels of sizes that few models have may spill a little, and the largest outside data centres, and what has two blocks
# of many registers on a multiprocessor; the others a register or two.
cat "$folder/rows.txt" "$folder/products.txt" "$folder/cache.txt" | awk '
  /Compiling entry function/ { kernel = $0 }
  /bytes spill stores/ {
    match($0, /[0-9]+ bytes spill stores/); spilled = substr($0, RSTART, RLENGTH) + 0
    most = kernel ~ /KroneckerPathE9/ ? (kernel ~ /sm_12/ ? 136 : 120) : kernel ~ /KroneckerPathE[78]|kronecker_exact/ ? 48 : 8
    if (kernel ~ /KroneckerPathE[345]/ && kernel ~ /sm_(8|12)/) most = 80
    if (kernel ~ /kronecker_rows.*Lb1E/) most = most < 96 ? 96 : most  # with a prologue
    if (kernel ~ /kronecker_groups.*PrologueE[12]/) most = 48
    if (kernel ~ /weight_only_/) most = 64
    if (kernel ~ /multiply_pipeline/) most = 64  # before the roles have their registers, never in a loop
    if (spilled > most) { print "spills " spilled " bytes: " kernel; bad = 1 }
    kernels++
  }
  END { print kernels " kernels"; exit bad || kernels == 0 }'
"$opcodes" "$folder"/*/*.cubin
