#!/bin/sh
# The main job on real text: trains SMoE and RMoE with the same seed, data and steps, compares and analyses them. A run
# that was interrupted goes on where it stopped; one that is finished is only evaluated.
# Usage: tools/demo.sh [RMOE [STEPS]]
set -eu
cd "$(dirname "$0")/.."
rmoe=${1:-build/rmoe}
steps=${2:-1500}
config=train/configs/demo.toml

"$rmoe" data get austen --dir corpora/austen
"$rmoe" data stat corpora/austen
for router in smoe rmoe; do
  printf '\n== %s, %s steps\n' $router "$steps"
  "$rmoe" train $config --router $router --run runs/demo-$router --steps "$steps" --resume
done

# number KEY: the value of "KEY" in JSON on standard input, the mean if it comes several times
number() {
  tr ',{' '\n\n' |
    awk -F: -v key="\"$1\"" '$1 ~ key"$" { sum += $2; n++ } END { printf "%.12g", n ? sum / n : 0 }'
}

printf '\n%-8s %12s %12s %12s %12s\n' router 'valid BPC' 'test BPC' 'tokens/s' parameters
for router in smoe rmoe; do
  run=runs/demo-$router
  printf '%-8s %12.4f %12.4f %12.0f %12.0f\n' $router \
    "$("$rmoe" eval $run --split valid --json | number bpc)" \
    "$("$rmoe" eval $run --split test --json | number bpc)" \
    "$(number tokens_per_s < $run/metrics.jsonl)" \
    "$("$rmoe" info $run/config.toml --json | number total)"
done
printf '\nA sample of the RMoE model:\n'
"$rmoe" sample runs/demo-rmoe --prompt 'It was a truth' --tokens 300 --temperature 0.7 --seed 1
printf '\n'
"$rmoe" analyze runs/demo-smoe runs/demo-rmoe --blocks 20 --out runs/demo.html > /dev/null
printf 'Written: runs/demo-smoe and runs/demo-rmoe (config.toml, metrics.jsonl, TensorBoard events, checkpoints)\n'
printf 'What their routers and experts do: runs/demo.html\n'
