#!/usr/bin/env bash
# examples/run.sh with a program that only notes how it is called: which commands get which options, when something is
# learned, and what follows when learning fails or is stopped.
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/examples" "$work/cmake" "$work/bin" "$work/build/examples/examples"
cp "$root/examples/run.sh" "$work/examples/"
echo 'install_missing() { :; }; build_packages=(a:a) launcher=()' >"$work/cmake/packages.sh"
echo 'echo /models/default.gguf' >"$work/examples/get_model.sh"
printf '#!/bin/sh\n' >"$work/bin/cmake"
cat >"$work/build/examples/examples/planish-llama" <<'PROGRAM'
#!/usr/bin/env bash
echo "$*" >>"$CALLS"
case $1 in
  calibrate)
    echo "calibrating  3 %  10 tokens/s  1:05 left" >&2
    [ "${CALIBRATE:-0}" = 0 ] || { echo "planish-llama: text.txt: has 3 tokens, not the 8192" >&2; exit "$CALIBRATE"; }
    while [ "$1" != --out ]; do shift; done
    echo learned >"$2" ;;
  compare)
    rows="" learned=""
    for word; do
      case $word in --recipe=*) rows+=" ${word#--recipe=}" ;; --planish) learned=${STORED:-w4a4kv4+flatquant} ;; esac
      last=$word
    done
    number=90
    for row in fp32 ${rows:-w4a4kv4 w4a4kv4+hadamard} $learned; do
      echo "{ \"recipe\": \"$row\", \"perplexity\": { \"value\": 1 } }, { \"recipe\": \"$row\", \"perplexity\": $((--number)) },"
    done >"$last" ;;
  info) printf 'a model\n\nrecipe %s: 4.25 bits per weight, 70 MiB\n' "${STORED:-w4a4kv4+flatquant}" ;;
esac
PROGRAM
chmod +x "$work/bin/cmake" "$work/build/examples/examples/planish-llama"
export PATH="$work/bin:$PATH" XDG_CACHE_HOME="$work/cache" CALLS="$work/calls"
unset PLANISH_LEARNING

failed=0 trial=""
complain() { printf '%s: %s\n--- calls\n%s\n--- output\n%s\n' "$trial" "$1" "$(cat "$CALLS")" "$said"; failed=1; }
run() { # run OPTION...: what was printed in $said, the exit code in $status
  trial="run.sh $*"
  : >"$CALLS"
  said=$(bash "$work/examples/run.sh" "$@" 2>&1)
  status=$?
}
commands() { [ "$(cut -d ' ' -f 1 "$CALLS" | xargs)" = "$1" ] || complain "not the commands $1"; }
called() { grep -q -e "^$1 .*$2" "$CALLS" || complain "$1 is not called with $2"; }
not_called() { ! grep -q -e "^$1 .*$2" "$CALLS" || complain "$1 is called with $2"; }
says() { [[ $said == *"$1"* ]] || complain "does not say '$1'"; }

run
[ $status = 0 ] || complain "fails"
commands "calibrate compare generate generate"
called calibrate "--model /models/default.gguf --text sampled --samples .* --window .* --epochs .* --recipe w4a4kv4 --out $work/cache/planish/learned-default.gguf-[0-9]*.planish"
called compare "--model /models/default.gguf --planish $work/cache/planish/learned-default.gguf-"
not_called compare "--recipe"
called generate "--recipe w4a4kv4+flatquant --planish $work/cache/planish/learned-default.gguf-"
not_called generate "--recipe fp32 .*--planish"
says " s, calibrate "
says "calibrating  3 %"
first=$(grep -o 'learned-default[^ ]*' "$CALLS" | head -n 1)

run --threads=2 --tokenizer t.bin --fake --seed 3 --context 128 --text my.txt --json "$work/figures.json"
called calibrate "--threads 2 --tokenizer t.bin"
not_called calibrate "--fake"
not_called calibrate "--seed"
called compare "--threads 2 --tokenizer t.bin .*--fake --seed 3 --context 128 --text my.txt"
called compare "--json $work/figures.json"
called generate "--threads 2 --tokenizer t.bin .*--fake --seed 3 --recipe w4a4kv4+flatquant --planish"
not_called generate "--context"
called calibrate "$first"

touch "$work/other.gguf"
run --model "$work/other.gguf"
called calibrate "--model $work/other.gguf .*learned-other.gguf-"
run --calibration-text my.txt
called calibrate "--text my.txt"
not_called calibrate "$first"
called generate "--calibration-text my.txt"
PLANISH_LEARNING="--samples 2 --window 128 --epochs 1" run
called calibrate "--samples 2 --window 128 --epochs 1 --recipe"
not_called calibrate "$first"

run --no-calibration
commands "compare generate generate"
not_called compare "--planish"
not_called compare "--no-calibration"
not_called generate "--planish"
run --recipe w8a8 -r w4a4kv4+scale
commands "compare generate generate"
called compare "--recipe=w8a8 --recipe=w4a4kv4+scale"
run -rw8a8
commands "compare generate"
run --recipe w8a8 --recipe=w4a4kv4+flatquant
commands "calibrate compare generate generate"
called compare "--recipe=w8a8 --recipe=w4a4kv4+flatquant --planish"

run --planish mine.planish
commands "compare info generate generate"
called generate "--recipe w4a4kv4+flatquant --planish mine.planish"
not_called generate "--recipe fp32 .*--planish"
STORED=w8a8+scale run --planish=mine.planish # the best W4A4KV4 row is not the artefact's
called compare "--planish mine.planish"
called generate "--recipe w4a4kv4+hadamard"
not_called generate "--planish"
STORED=w4a4kv4+hadamard run --planish mine.planish --recipe w4a4kv4
called generate "--recipe w4a4kv4+hadamard --planish mine.planish"

CALIBRATE=2 run
[ $status = 0 ] || complain "fails"
commands "calibrate compare generate generate"
not_called compare "--planish"
says "no row w4a4kv4+flatquant: text.txt: has 3 tokens, not the 8192"
CALIBRATE=2 run --recipe w4a4kv4+flatquant --recipe w4a4kv4
called compare "--model /models/default.gguf --recipe=w4a4kv4 --calibration-text"
CALIBRATE=2 run --recipe w4a4kv4+flatquant
called compare "--recipe=fp32 --calibration-text"
commands "calibrate compare generate"
CALIBRATE=137 run
says "no row w4a4kv4+flatquant: signal 9 ended its calibration"
CALIBRATE=130 run
[ $status = 130 ] || complain "ends with $status, not 130"
commands "calibrate"

run --model
[ $status != 0 ] || complain "takes an option without its value"
commands ""
exit $failed
