"""Whole training steps of rmoe against the same models in PyTorch, on one machine, run by run in turn.

    python3 -m venv venv && venv/bin/pip install -r tools/requirements.txt
    venv/bin/python tools/compare_pytorch/compare.py build/rmoe train/configs/llama-small.toml

First both compute the losses and all gradients of one block from the same weights: they must agree. Then each round
times `rmoe bench step` and PyTorch one after the other, in processes of their own; the median over rounds counts.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

import safetensors.torch
import torch

from models import Model

VOCABULARY = 205
HEADER = """\
| config | router | rmoe ms | PyTorch ms | rmoe tokens/s | PyTorch / rmoe | of peak | peak MiB | loss / gradient off |
|---|---|---|---|---|---|---|---|---|"""
# glibc gives large blocks back to the system after every tensor; keeping them halves PyTorch's step.
TUNED = {"MALLOC_MMAP_THRESHOLD_": "4294967296", "MALLOC_TRIM_THRESHOLD_": "8589934592"}


def load(path, router):
    config = tomllib.loads(Path(path).read_text())
    config["model"]["vocab"] = VOCABULARY
    config["router"]["name"] = router
    return config


def random_blocks(batch, block, seed):
    rng = torch.Generator().manual_seed(seed)
    return torch.randint(VOCABULARY, (batch, block + 1), generator=rng, dtype=torch.int32)


def agreement(rmoe, path, router, threads):
    """Largest differences of losses (relative) and of gradients (relative to each tensor's largest element)."""
    torch.manual_seed(1)
    torch.set_num_threads(threads)
    model = Model(load(path, router)).eval()
    tokens = random_blocks(1, 64, 2)
    loss, balance, total, _ = model(tokens[:, :-1].long(), tokens[:, 1:].long(), model.initial_memory(1))
    total.backward()
    with tempfile.TemporaryDirectory() as folder:
        weights, words, out = (os.path.join(folder, name) for name in ("w", "t", "o"))
        safetensors.torch.save_file({k: x.detach().contiguous() for k, x in model.state_dict().items()}, weights)
        safetensors.torch.save_file({"tokens": tokens}, words)
        command = [rmoe, "trace", path, "--router", router, "--set", f"model.vocab={VOCABULARY}"]
        command += ["--weights", weights, "--tokens", words, "--out", out]
        subprocess.run(command, check=True, capture_output=True)
        ours = safetensors.torch.load_file(out)
    relative = lambda a, b: abs(float(a) - float(b)) / abs(float(b))
    losses = max(relative(ours["loss"], loss.detach()), relative(ours["aux_loss"], balance.detach()))
    worst = 0.0
    for name, x in model.named_parameters():
        error = (ours[f"grad.{name}"] - x.grad).abs().max() / x.grad.abs().max().clamp(min=1e-6)
        worst = max(worst, float(error))
    return losses, worst


def pytorch_steps(path, router, args):
    """Seconds of each step after two that warm up; printed as JSON by a process of its own."""
    torch.manual_seed(1)
    torch.set_num_threads(args.threads)
    model = Model(load(path, router)).train()
    step = torch.compile(model) if args.compile else model
    adam = torch.optim.Adam(model.parameters(), lr=1e-4, fused=True)
    memory, seconds = model.initial_memory(args.batch), []
    for i in range(args.steps + 2):
        tokens = random_blocks(args.batch, args.block, i).long()
        start = time.perf_counter()
        _, _, total, memory = step(tokens[:, :-1], tokens[:, 1:], memory)
        adam.zero_grad()
        total.backward()
        adam.step()
        seconds.append(time.perf_counter() - start)
    peak_kib = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
    return {"seconds": seconds[2:], "peak_mib": peak_kib / 1024}


def run_pytorch(path, router, args):
    command = [sys.executable, __file__, args.rmoe, path, "--child", router, *args.passed_on]
    command += ["--compile"] if args.compile else []
    return json.loads(subprocess.run(command, check=True, capture_output=True, env={**os.environ, **TUNED}).stdout)


def run_rmoe(path, router, args):
    command = [args.rmoe, "bench", "step", path, "--routers", router, "--json", *args.passed_on]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


def spread(values, digits):
    """Median (smallest-largest)."""
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def compare(path, router, args):
    losses, grads = agreement(args.rmoe, path, router, args.threads)
    assert losses < 1e-4 and grads < 1e-2, f"{path} {router}: losses differ by {losses:.2g}, gradients by {grads:.2g}"
    ours, theirs = [], []
    for _ in range(args.rounds):
        ours.append(run_rmoe(path, router, args))
        theirs.append(run_pytorch(path, router, args))
    tokens = args.batch * args.block
    a = [x["median_ms"] / 1e3 for x in ours]
    b = [statistics.median(x["seconds"]) for x in theirs]
    ratios = [y / x for x, y in zip(a, b)]
    share = statistics.median(x["share_of_peak"] for x in ours)
    mib = [max(x["peak_mib"] for x in side) for side in (ours, theirs)]
    cells = [Path(path).stem, router, spread([1e3 * x for x in a], 0), spread([1e3 * x for x in b], 0)]
    cells += [f"{tokens / statistics.median(a):.0f}", spread(ratios, 2), f"{100 * share:.0f} %"]
    cells += [f"{mib[0]:.0f} / {mib[1]:.0f}", f"{losses:.0e} / {grads:.0e}"]
    print("| " + " | ".join(cells) + " |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rmoe", help="the program, e.g. build/rmoe")
    parser.add_argument("configs", nargs="+")
    parser.add_argument("--routers", default="smoe,rmoe")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--block", type=int, default=512)
    parser.add_argument("--steps", type=int, default=5, help="timed in a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--compile", action="store_true", help="torch.compile the model")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        print(json.dumps(pytorch_steps(args.configs[0], args.child, args)))
        return
    args.passed_on = [f"--{name}={getattr(args, name)}" for name in ("threads", "batch", "block", "steps")]
    compiled = " compiled" if args.compile else ""
    print(f"PyTorch {torch.__version__}{compiled}, {args.threads} threads, malloc keeps memory, fused Adam;")
    print(f"batch {args.batch} x {args.block}, {args.steps} steps x {args.rounds} rounds in turn\n")
    print(HEADER)
    for path in args.configs:
        for router in args.routers.split(","):
            compare(path, router, args)


if __name__ == "__main__":
    main()
