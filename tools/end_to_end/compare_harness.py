#!/usr/bin/env python3
"""lm-evaluation-harness against `rmoe serve`, compared with `rmoe eval` on the same files.

    rmoe serve RUN --port 8000 &
    rmoe eval RUN --tasks arc_easy,hellaswag,piqa,sciq,lambada_openai --tasks-dir tools/end_to_end/tasks \\
        --json --samples native.jsonl > native.json
    tools/end_to_end/compare_harness.py --lm-eval VENV/bin/lm_eval --url http://127.0.0.1:8000 \\
        --native native.json --samples native.jsonl --out harness

Every log-likelihood must agree to 1e-4 and every metric that counts documents exactly. Runs the harness from the
project's top folder, where the task files are. The harness comes with `pip install "lm_eval[api]"`.
"""

import argparse
import json
import math
import pathlib
import subprocess
import sys

TOP = pathlib.Path(__file__).resolve().parents[2]
COUNTED = ("acc,none", "acc_norm,none")  # the others are sums of log-likelihoods


def run_harness(options):
    model = f"model=rmoe,base_url={options.url}/v1/completions,tokenizer_backend=remote"
    model += f",max_length={options.max_length},num_concurrent={options.concurrent}{options.model_args}"
    command = [options.lm_eval, "run", "--model", "local-completions", "--tasks", options.tasks]
    command += ["--include_path", "tools/end_to_end/tasks", "--batch_size", str(options.batch_size)]
    command += ["--model_args", model, "--output_path", str(options.out.resolve()), "--log_samples"]
    print("$", " ".join(command), flush=True)
    subprocess.run(command, cwd=TOP, check=True)


def newest(folder, pattern):
    found = sorted(folder.rglob(pattern), key=lambda path: path.stat().st_mtime)
    if not found:
        sys.exit(f"compare_harness: the harness left no {pattern} in {folder}")
    return found[-1]


def harness_scores(folder, task):
    """(document, choice) -> (log-likelihood, greedy)"""
    scores = {}
    for line in open(newest(folder, f"samples_{task}_*.jsonl"), encoding="utf-8"):
        document = json.loads(line)
        for choice, (log_likelihood, greedy) in enumerate(document["filtered_resps"]):
            scores[document["doc_id"], choice] = (float(log_likelihood), str(greedy) == "True")
    return scores


def native_scores(path, task):
    scores = {}
    for line in open(path, encoding="utf-8"):
        row = json.loads(line)
        if row["task"] == task:
            scores[row["doc_id"], row["choice"]] = (row["log_likelihood"], row["is_greedy"])
    return scores


def compare_scores(task, ours, theirs):
    """The largest difference of two log-likelihoods; infinite if something is missing."""
    if ours.keys() != theirs.keys():
        print(f"{task}: {len(ours)} requests natively, {len(theirs)} by the harness")
        return math.inf
    greedy = sum(ours[key][1] != theirs[key][1] for key in ours)
    most = max(abs(ours[key][0] - theirs[key][0]) for key in ours)
    print(f"{task}: {len(ours)} requests, log-likelihoods differ by at most {most:.2e}, {greedy} in being greedy")
    return math.inf if greedy else most


def compare_metrics(task, ours, theirs):
    same = True
    for name, value in ours[task].items():
        if not isinstance(value, float) or "stderr" in name:
            continue
        other = theirs[task][name]
        agrees = value == other if name in COUNTED else math.isclose(value, other, rel_tol=1e-4)
        print(f"  {name:16} {value:.6g} and {other:.6g}{'' if agrees else '  DIFFERENT'}")
        same = same and agrees
    return same


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lm-eval", required=True, help="the harness's program")
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--tasks", default="arc_easy,hellaswag,piqa,sciq,lambada_openai")
    parser.add_argument("--native", required=True, type=pathlib.Path, help="what rmoe eval --json printed")
    parser.add_argument("--samples", required=True, type=pathlib.Path, help="what rmoe eval --samples wrote")
    parser.add_argument("--out", required=True, type=pathlib.Path, help="folder for what the harness writes")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--concurrent", type=int, default=1)
    parser.add_argument("--model-args", default="", help="more of them, e.g. ,tokenized_requests=False")
    parser.add_argument("--max-length", type=int, default=2048)
    options = parser.parse_args()
    run_harness(options)
    ours = json.load(open(options.native, encoding="utf-8"))["results"]
    theirs = json.load(open(newest(options.out, "results_*.json"), encoding="utf-8"))["results"]
    agree = True
    for task in options.tasks.split(","):
        scores = compare_scores(task, native_scores(options.samples, task), harness_scores(options.out, task))
        agree = compare_metrics(task, ours, theirs) and scores < 1e-4 and agree
    print("the two evaluations agree" if agree else "the two evaluations DISAGREE")
    sys.exit(not agree)


if __name__ == "__main__":
    main()
