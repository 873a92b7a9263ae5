#!/bin/sh
# The main job on real text: trains SMoE and RMoE with the same seed, data and steps, then compares them.
# Usage: tools/demo.sh [RMOE [STEPS]]
set -eu
cd "$(dirname "$0")/.."
rmoe=${1:-build/rmoe}
steps=${2:-}
config=train/configs/demo.toml

"$rmoe" data get kjv --dir corpora/kjv
"$rmoe" data stat corpora/kjv
for router in smoe rmoe; do
  "$rmoe" train $config --router $router --run runs/demo-$router --resume ${steps:+--steps "$steps"}
done

field() { sed -n "s/.*\"$1\": *\([0-9.eE+-]*\).*/\1/p" | head -n 1; }
printf '\n%-8s %14s %14s %12s %12s\n' router 'valid BPC' 'test BPC' 'tokens/s' parameters
for router in smoe rmoe; do
  run=runs/demo-$router
  printf '%-8s %14.4f %14.4f %12.0f %12.0f\n' $router \
    "$("$rmoe" eval $run --split valid --json | field bpc)" "$("$rmoe" eval $run --split test --json | field bpc)" \
    "$(field tokens_per_s < $run/result.json)" "$(field parameters < $run/result.json)"
done
printf '\nA sample of the RMoE model:\n'
"$rmoe" sample runs/demo-rmoe --prompt 'And it came to pass' --tokens 300 --temperature 0.7 --seed 1
printf '\nWritten: runs/demo-smoe, runs/demo-rmoe (config.toml, metrics.jsonl, TensorBoard events, checkpoints)\n'
