#!/bin/sh
# From raw text to evaluated models, on two CPU cores in less than half an hour: corpus, tokenizer, shards, SMoE and
# RMoE pre-trained and fine-tuned, evaluated natively, served, and evaluated by the real lm-evaluation-harness, which
# must agree. Everything is written below FOLDER; started again, it goes on where it stopped.
# Usage: tools/end_to_end.sh [RMOE [FOLDER [STEPS]]]
# The harness comes from the Python package index (pip install "lm_eval[api]"), or is LM_EVAL if that is set.
set -eu
cd "$(dirname "$0")/.."
rmoe=${1:-build/rmoe}
folder=${2:-runs/end-to-end}
steps=${3:-900}
tasks=tools/end_to_end/tasks
names=arc_easy,hellaswag,piqa,sciq,lambada_openai
mkdir -p "$folder"

lm_eval=${LM_EVAL:-$folder/venv/bin/lm_eval}
if [ ! -x "$lm_eval" ]; then
  python3 -m venv "$folder/venv"
  "$folder/venv/bin/pip" install --quiet "lm_eval[api]"
fi

title() { printf '\n== %s (%s s)\n' "$1" "$(($(date +%s) - started))"; }
started=$(date +%s)

title 'corpus'
"$rmoe" data get austen --dir "$folder/corpus"
title 'tokenizer of 8192 pieces'
[ -e "$folder/tokenizer/tokenizer.model" ] ||
  "$rmoe" tokenizer train --kind sentencepiece --vocab 8192 --out "$folder/tokenizer" "$folder/corpus"
title 'shards'
"$rmoe" data prepare --tokenizer "$folder/tokenizer" --documents blank-line --split valid=0.01 --out "$folder/shards" \
  "$folder/corpus"
"$rmoe" data stat "$folder/shards"
title 'instructions'
python3 tools/end_to_end/make_alpaca.py "$folder/corpus/austen.txt" "$folder/instructions.json"

for router in smoe rmoe; do
  title "pre-training, $router"
  "$rmoe" train train/configs/end-to-end.toml --router $router --set "data.path=$folder/shards" --steps "$steps" \
    --run "$folder/$router" --resume
  title "fine-tuning, $router"
  "$rmoe" sft train/configs/sft-small.toml --init "$folder/$router" --data "$folder/instructions.json" --valid 40 \
    --run "$folder/$router-sft" --resume
done

for router in smoe rmoe; do
  run=$folder/$router-sft
  title "native evaluation, $router"
  "$rmoe" eval "$run" --tasks $names --tasks-dir $tasks
  "$rmoe" eval "$run" --tasks $names --tasks-dir $tasks --json --samples "$folder/$router.jsonl" \
    > "$folder/$router.json"

  title "the harness against rmoe serve, $router"
  "$rmoe" serve "$run" --port 0 > "$folder/serve.log" &
  server=$!
  trap 'kill $server 2> /dev/null || true' EXIT
  until url=$(grep -o 'http://[0-9.:]*' "$folder/serve.log"); do
    kill -0 $server
    sleep 0.2
  done
  tools/end_to_end/compare_harness.py --lm-eval "$lm_eval" --url "$url" --native "$folder/$router.json" \
    --samples "$folder/$router.jsonl" --out "$folder/harness-$router"
  kill $server
  wait $server || true
  trap - EXIT
done
title 'done'
