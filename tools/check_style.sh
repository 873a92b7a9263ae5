#!/bin/sh
# Format, include order, line and file lengths, and nothing left open in the code.
set -eu
cd "$(dirname "$0")/.."
status=0
tools/check_layers.sh || status=1
git ls-files '*.cpp' '*.hpp' '*.cu' '*.cuh' | xargs clang-format --dry-run -Werror || status=1
git ls-files '*.cpp' '*.hpp' '*.cu' '*.cuh' '*.py' '*.sh' | xargs awk '
  length($0) > 120 { print FILENAME ":" FNR ": over 120 columns"; bad = 1 }
  END { exit bad }' || status=1
for file in $(git ls-files '*.cpp' '*.hpp' '*.cu' '*.cuh'); do
  [ "$(wc -l < "$file")" -le 400 ] || { echo "$file: over 400 lines"; status=1; }
done
if git grep -nE '\b(TODO|FIXME)\b' -- '*.cpp' '*.hpp' '*.cu' '*.cuh'; then status=1; fi
exit $status
