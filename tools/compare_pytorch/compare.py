"""Whole training steps of rmoe against the same models in PyTorch, on one machine, run by run in turn.

    python3 -m venv venv && venv/bin/pip install -r tools/requirements.txt
    venv/bin/python tools/compare_pytorch/compare.py build/rmoe

First both compute the losses and all gradients of one block from the same weights: they must agree. Then each round
times `rmoe bench step` and PyTorch one after the other, in processes of their own; the median over rounds counts. The
table of goals comes last. With configs behind the program's name, only those are compared.
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
HERE = Path(__file__).resolve().parent
CONFIGS = [
    HERE.parent / "bench" / "model-a.toml",
    HERE.parent.parent / "train" / "configs" / "llama-small.toml",
    HERE.parent.parent / "train" / "configs" / "enwik8-medium.toml",
]
HEADER = """\
| config | router | rmoe ms | bf16 ms | 1 thread | PyTorch ms | rmoe tokens/s | PyTorch / rmoe | of peak | \
1 -> {} threads | peak MiB | loss / gradient off |
|---|---|---|---|---|---|---|---|---|---|---|---|"""
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


def run_pytorch(path, router, args, compiled=False):
    command = [sys.executable, __file__, args.rmoe, path, "--child", router, *args.passed_on]
    command += [f"--threads={args.threads}"] + (["--compile"] if compiled else [])
    return json.loads(subprocess.run(command, check=True, capture_output=True, env={**os.environ, **TUNED}).stdout)


def run_rmoe(path, router, args, threads, *options):
    command = [args.rmoe, "bench", "step", path, "--routers", router, "--json", *args.passed_on, f"--threads={threads}"]
    command += options
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


def seconds_to_first_step(rmoe, threads):
    """From starting the program to its first line about a step, on a small model."""
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder) / "text"
        text.write_text("".join(chr(97 + i * i % 23) + " " * (i % 5 == 0) for i in range(200000)))
        command = [rmoe, "train", HERE.parent.parent / "train" / "configs" / "demo.toml", "--steps", "2"]
        command += ["--set", f"data.path={text}", "--set", "train.log_every=1", "--run", f"{folder}/run"]
        start = time.perf_counter()
        process = subprocess.Popen([*command, f"--threads={threads}"], stderr=subprocess.PIPE, text=True)
        line = next((line for line in process.stderr if line.startswith("step 1/")), None)
        seconds = time.perf_counter() - start
        process.stderr.read()
        assert process.wait() == 0 and line, "rmoe train printed no step"
        return seconds


def spread(values, digits):
    """Median (smallest-largest)."""
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def median_ms(runs):
    return statistics.median(x["median_ms"] for x in runs)


def compare(path, router, args):
    """Prints a row; returns what the goals are about."""
    losses, grads = agreement(args.rmoe, path, router, args.threads)
    assert losses < 1e-4 and grads < 1e-2, f"{path} {router}: losses differ by {losses:.2g}, gradients by {grads:.2g}"
    ours, halves, alone, theirs = [], [], [], []
    for _ in range(args.rounds):
        ours.append(run_rmoe(path, router, args, args.threads))
        theirs.append(run_pytorch(path, router, args))
        halves.append(run_rmoe(path, router, args, args.threads, "--set=train.precision=bf16"))
        alone.append(run_rmoe(path, router, args, 1))
        if args.compile:  # its best counts
            compiled = run_pytorch(path, router, args, compiled=True)
            key = lambda x: statistics.median(x["seconds"])
            times = f"torch.compile {1e3 * key(compiled):.0f} ms, without {1e3 * key(theirs[-1]):.0f} ms"
            print(f"{Path(path).stem} {router}: {times}", file=sys.stderr)
            theirs[-1] = min(theirs[-1], compiled, key=key)
    a = [x["median_ms"] for x in ours]
    b = [1e3 * statistics.median(x["seconds"]) for x in theirs]
    ratios = [y / x for x, y in zip(a, b)]
    half_ratios = [y / x["median_ms"] for x, y in zip(halves, b)]
    row = {
        "ms": statistics.median(a),
        "flops": ours[0]["flops"],
        "share": statistics.median(x["share_of_peak"] for x in ours),
        "ratio": statistics.median(ratios),
        "half_ratio": statistics.median(half_ratios),
        "scaling": median_ms(alone) / median_ms(ours),
        "memory": max(x["peak_rss_mib"] for x in ours) / max(x["peak_mib"] for x in theirs),
    }
    cells = [Path(path).stem, router, spread(a, 0), f"{median_ms(halves):.0f}", f"{median_ms(alone):.0f}", spread(b, 0)]
    cells += [f"{1e3 * args.batch * args.block / row['ms']:.0f}", spread(ratios, 2), f"{100 * row['share']:.0f} %"]
    cells += [f"{row['scaling']:.2f}"]
    cells += [f"{max(x['peak_rss_mib'] for x in ours):.0f} / {max(x['peak_mib'] for x in theirs):.0f}"]
    print("| " + " | ".join([*cells, f"{losses:.0e} / {grads:.0e}"]) + " |", flush=True)
    return row


def print_goals(rows, args):
    """The goals of the project's CPU backend, and what was measured: one cell per config and router."""
    start = [seconds_to_first_step(args.rmoe, args.threads) for _ in range(5)]
    cells = list(dict.fromkeys((config, router) for config, router in rows))
    title = lambda config, router: f"{Path(config).stem} {router}"
    print(f"\n| | goal | {' | '.join(title(*c) for c in cells)} |")
    print("|---|---|" + "---|" * len(cells))
    line = lambda what, goal, value: print(f"| {what} | {goal} | {' | '.join(value(rows[c]) for c in cells)} |")
    line("share of fp32 peak", "65 % (A), 60 % (llama)", lambda r: f"{100 * r['share']:.0f} %")
    line("tokens/s against PyTorch", "2.0 x", lambda r: f"{r['ratio']:.2f} x")
    line("the same with train.precision=bf16", "3 x", lambda r: f"{r['half_ratio']:.2f} x")
    line("peak memory against PyTorch", "0.6 x", lambda r: f"{r['memory']:.2f} x")
    line(f"scaling 1 -> {args.threads} threads", "1.85 x", lambda r: f"{r['scaling']:.2f} x")
    print(f"\nFrom start to first step, small model (goal 0.3 s): {spread(start, 2)} s")
    for config in dict.fromkeys(config for config, _ in rows):
        if (config, "smoe") in rows and (config, "rmoe") in rows:
            a, b = rows[config, "smoe"], rows[config, "rmoe"]
            print(
                f"RMoE step over SMoE step, {Path(config).stem} (goal 1.03): {b['ms'] / a['ms']:.3f};"
                f" products alone {b['flops'] / a['flops']:.3f}"
            )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rmoe", help="the program, e.g. build/rmoe")
    parser.add_argument("configs", nargs="*", default=[str(path) for path in CONFIGS])
    parser.add_argument("--routers", default="smoe,rmoe")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--block", type=int, default=512)
    parser.add_argument("--steps", type=int, default=5, help="timed in a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--compile", action="store_true", help="torch.compile too; the faster of both counts")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        print(json.dumps(pytorch_steps(args.configs[0], args.child, args)))
        return
    args.passed_on = [f"--{name}={getattr(args, name)}" for name in ("batch", "block", "steps")]
    compiled = ", torch.compile where it is faster" if args.compile else ""
    print(f"PyTorch {torch.__version__}{compiled}, {args.threads} threads, malloc keeps memory, fused Adam;")
    print(f"batch {args.batch} x {args.block}, {args.steps} steps x {args.rounds} rounds in turn\n")
    print(HEADER.format(args.threads))
    rows = {}
    for path in args.configs:
        for router in args.routers.split(","):
            rows[path, router] = compare(path, router, args)
    print_goals(rows, args)


if __name__ == "__main__":
    main()
