#!/bin/sh
# The include order of the house: engine <- autograd <- ops <- models <- train; data sees engine only; nothing includes
# tests or tools (but tests). Every op folder has its test. Prints every offence.
set -eu
cd "$(dirname "$0")/.."
status=0

# forbid FOLDER 'FOLDERS IT MUST NOT INCLUDE'
forbid() {
  if git grep -nE "^#include \"($2)/" -- "$1/*.[hc]pp" "$1/*.cu" "$1/*.cuh" \
    ":!$1/*test.cpp" ":!$1/*/test.cpp" ":!$1/*test_*.hpp"; then
    echo "  ^ $1/ must not include these: see the order in tools/check_layers.sh"
    status=1
  fi
}
forbid engine 'autograd|ops|models|data|train|tests|tools'
forbid autograd 'ops|models|data|train|tests|tools'
forbid ops 'models|data|train|tests|tools'
forbid models 'data|train|tests|tools'
forbid data 'autograd|ops|models|train|tests|tools'
forbid train 'tests|tools'

for folder in ops/*/; do
  for file in cpu.cpp kernels.hpp test.cpp; do
    # A view, a cast and a collective have no kernel; a composition, on the CPU at least, runs those of its parts.
    case "$folder$file" in
      ops/reshape/[ck]* | ops/cast/[ck]* | ops/linear_cross_entropy/[ck]* | ops/experts/c* | \
        ops/exchange_rows/[ck]*) continue ;;
    esac
    [ -f "$folder$file" ] || { echo "$folder has no $file"; status=1; }
  done
done
exit $status
