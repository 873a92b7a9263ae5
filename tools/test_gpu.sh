#!/bin/bash
# On a machine with an NVIDIA GPU: builds the CUDA backend, runs on the GPU what CI runs on the emulated one, trains the
# same steps on both devices, lets compute-sanitizer look, measures, and writes a dated report (default gpu-report.md).
#
#   tools/test_gpu.sh [BUILD] [REPORT]
set -euo pipefail
cd "$(dirname "$0")/.."
build=${1:-build} report=${2:-gpu-report.md}

gpu=$(nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader 2> /dev/null | head -1) ||
  { echo "test-gpu: nvidia-smi shows no GPU; this script wants one" >&2; exit 1; }
cmake -S . -B "$build" > "$build.log" 2>&1 || { cat "$build.log"; exit 1; }
cmake --build "$build" -j "$(nproc)" --target rmoe rmoe-cuda rmoe_gpu_tests_ops rmoe_gpu_tests_models
rmoe=$build/rmoe-cuda

{
  echo "# rmoe on a GPU"
  echo
  echo "$(date +%F), $gpu, $("$rmoe" --version)"
} > "$report"

# Runs a command; its output goes into the report, its failure is remembered.
failed=0
section() {
  local title=$1; shift
  echo "== $title"
  printf '\n## %s\n\n    %s\n\n```\n' "$title" "$*" >> "$report"
  if "$@" > "$report.part" 2>&1; then echo passed; else echo "FAILED ($?)" | tee -a "$report.part"; failed=1; fi
  tail -60 "$report.part" >> "$report"
  rm -f "$report.part"
  echo '```' >> "$report"
}

section "What nvcc made of the kernels" tools/kernel_table.py "$build" --check
section "Op cases" "$build/rmoe_gpu_tests_ops"
section "Whole models" "$build/rmoe_gpu_tests_models"
if command -v compute-sanitizer > /dev/null; then
  for tool in memcheck racecheck initcheck synccheck; do
    section "compute-sanitizer $tool" compute-sanitizer --tool "$tool" --error-exitcode 9 \
      "$build/rmoe_gpu_tests_ops" -sf='*attention*,*grouped_linear*,*expert*,*embedding*,*topk*,*recurrent*'
  done
else
  printf '\ncompute-sanitizer is not installed: not run.\n' >> "$report"
fi

# The same 50 steps on both devices.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat README.md LICENSE */README.md */*/README.md > "$work/text.txt"
train() {  # NAME options...
  local name=$1; shift
  "$rmoe" train train/configs/llama-tiny.toml --run "$work/$name" --set data.path="$work/text.txt" --steps 50 \
    --set train.eval_every=0 --set train.log_every=10 "$@"
}
section "50 steps on the CPU" train cpu
section "50 steps on the GPU, fp32" train gpu --device cuda
section "50 steps on the GPU, bf16" train gpu16 --device cuda --set train.precision=bf16

section "Speed, fp32" "$rmoe" bench step train/configs/enwik8-medium.toml train/configs/llama-small.toml --device cuda
section "Speed, bf16" "$rmoe" bench step train/configs/enwik8-medium.toml train/configs/llama-small.toml --device cuda \
  --set train.precision=bf16
section "Speed, the pre-trained model's shape, bf16" "$rmoe" bench step train/configs/pretrain-paper.toml \
  --device cuda --set train.precision=bf16 --batch 4 --block 4096

echo "report: $report"
exit $failed
