#!/bin/sh
# Runs every test program of a build folder, in two lanes beside each other: most of them keep one core busy.
# Usage: tools/run_tests.sh BUILD
set -u
cd "$(dirname "$0")/.."
build=$1

run() { # SUITE [VARIABLE=VALUE...]
  suite=$build/$1
  shift
  [ -x "$suite" ] || return 0
  echo "$suite $*"
  env "$@" "$suite"
}

programs() { run rmoe_tests && run rmoe_emulator_tests && run rmoe_emulator_tests_models; }

kernels() {
  run rmoe_emulator_tests_ops_checked && run rmoe_emulator_tests_ops && run rmoe_emulator_tests_ranks || return
  for seed in 1 2 3; do
    run rmoe_emulator_tests_ops RMOE_EMULATOR_SEED=$seed RMOE_EMULATOR_MULTIPROCESSORS=2 || return
  done
  [ ! -e "$build/rmoe-cuda" ] || tools/kernel_table.py "$build" --check
}

kernels > "$build/kernels.log" 2>&1 &
lane=$!
programs
status=$?
wait $lane || status=1
cat "$build/kernels.log"
exit $status
