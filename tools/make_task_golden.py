#!/usr/bin/env python3
"""Writes tests/golden/tasks: small evaluation files, and what lm-evaluation-harness makes of them.

    python3 -m venv .venv-harness && .venv-harness/bin/pip install lm_eval==0.4.13
    .venv-harness/bin/python tools/make_task_golden.py tests/golden/tasks

The files hold what is easy to get wrong: brackets, double spaces, Unicode white space and capitals, empty supports,
labels that are digits, in the original form of each set (in sets/) and in that of the Hugging Face hub (in hub/). The
real harness turns the latter into requests and metrics, with a model whose log-likelihoods are checksums of requests:
    logprob = -(crc32(context + "|" + continuation) % 10007) / 1000,  greedy = crc32 % 3 == 0
golden.json has both. stderr of perplexity is left out: the harness draws it with Python's generator.
"""

import json
import os
import pathlib
import sys
import tempfile
import zlib

ARC = [
    ("Which gas do plants take in?", ["Oxygen", "Carbon dioxide", "Helium", "Neon"], "ABCD", "B"),
    ("Label digits: 2 + 2 =", ["3", "4", "22", "5"], "1234", "4"),
    ("Three choices, Ünïcode — größer?", ["größer", "kleiner ", " gleich"], "ABC", "C"),
    ("Five?\nOver two lines", ["a", "bb", "ccc", "dddd", "eeeee"], "ABCDE", "A"),
    ("Emoji \U0001F600 and  two spaces", ["\U0001F600", "日本語", "x", "y"], "ABCD", "D"),
]
HELLASWAG = [
    ("Removing ice from car", "Then, the man writes over the snow.", "then he CLEANS the Window", 3,
     ["stops.", "[title] Next step. [step] Go on", ", the man adds wax.", "[header] cuts  the   board."]),
    ("Ärger", "\u00a0 Non-breaking and\u2003em space", "ÉCOLE ist ΟΔΟΣ und ΣΑΣ.", 0,
     ["ends [unclosed", "two [a] and [b] [title] x", " leading", "trailing  \u3000"]),
    ("Roof", "A [substeps] list.  ", "", 1, ["[a\nb] kept", "x]y[z", "]", "[]"]),
    ("Weird first letters", "He said:", "ßtraße İSTANBUL", 2, ["ﬁne", "ǆ", "a", "b"]),
    ("Titles", "It", "ǆungla Ǆ Ⅷ Ჯ", 2, ["1", "2", "3 [title]", "4"]),
]
PIQA = [
    ("When boiling butter, when it's ready, you can", "Pour it onto a plate", "Pour it into a jar", 1),
    ("Goal with trailing space ", "same", "same", 0),
    ("Ναί;", "é", "e\u0301", 1),
]
SCIQ = [
    ("", "What is 1?", ["d one", "d two", "d three"], "right"),
    (" \n\u2002 Support with white space before and after. \n", "Who?", ["1", "22", "333"], "4444"),
    ("Plain support.", "Which?", ["α", "βγ", "日本"], "\U0001F600\U0001F600"),
]
LAMBADA = [
    "In my palm is a clear stone, and inside it is a small ivory statue",
    "word",
    "two  spaces before last",
    "trailing space ",
    "a line\nbreak is no space: the last word is \"bréak\u00a0free\"",
]


def lines(rows):
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def write_sets(root):
    """Every set as its authors publish it."""
    arc = [{"id": f"q{i}",
            "question": {"stem": q, "choices": [{"text": t, "label": l} for t, l in zip(texts, labels)]},
            "answerKey": key} for i, (q, texts, labels, key) in enumerate(ARC)]
    write(root / "ARC-Easy-Test.jsonl", lines(arc))
    write(root / "ARC-Challenge-Test.jsonl", lines(arc[::-1]))
    write(root / "hellaswag_val.jsonl", lines(
        {"ind": i, "activity_label": a, "ctx_a": x, "ctx_b": y, "ctx": x + " " + y, "split": "val",
         "label": label, "endings": endings} for i, (a, x, y, label, endings) in enumerate(HELLASWAG)))
    write(root / "physicaliqa-train-dev/dev.jsonl", lines({"goal": g, "sol1": a, "sol2": b} for g, a, b, _ in PIQA))
    write(root / "physicaliqa-train-dev/dev-labels.lst", "".join(f"{row[3]}\n" for row in PIQA))
    write(root / "SciQ dataset-2 3/test.json", json.dumps(
        [{"question": q, "distractor3": d[2], "distractor1": d[0], "distractor2": d[1], "correct_answer": a,
          "support": s} for s, q, d, a in SCIQ], ensure_ascii=False, indent=1))
    write(root / "lambada_test.jsonl", lines({"text": t} for t in LAMBADA))


def write_hub(root):
    """The same as the Hugging Face hub has it, one JSON object a line."""
    arc = [{"id": f"q{i}", "question": q, "choices": {"text": texts, "label": list(labels)}, "answerKey": key}
           for i, (q, texts, labels, key) in enumerate(ARC)]
    write(root / "arc_easy.jsonl", lines(arc))
    write(root / "arc_challenge.jsonl", lines(arc[::-1]))
    write(root / "hellaswag.jsonl", lines(
        {"ind": i, "activity_label": a, "ctx_a": x, "ctx_b": y, "ctx": x + " " + y, "endings": endings,
         "source_id": "s", "split": "val", "split_type": "indomain", "label": str(label)}
        for i, (a, x, y, label, endings) in enumerate(HELLASWAG)))
    write(root / "piqa.jsonl", lines({"goal": g, "sol1": a, "sol2": b, "label": l} for g, a, b, l in PIQA))
    write(root / "sciq.jsonl", lines(
        {"question": q, "distractor3": d[2], "distractor1": d[0], "distractor2": d[1], "correct_answer": a,
         "support": s} for s, q, d, a in SCIQ))
    write(root / "lambada_openai.jsonl", lines({"text": t} for t in LAMBADA))


TASKS = {"arc_easy": "arc", "arc_challenge": "arc", "hellaswag": "hellaswag", "piqa": "piqa", "sciq": "sciq",
         "lambada_openai": "lambada"}


def local_tasks(hub, folder):
    """The harness's own definitions, reading our files."""
    import lm_eval.tasks
    definitions = pathlib.Path(lm_eval.tasks.__file__).parent
    for task, family in TASKS.items():
        text = (f"include: {definitions / family / task}.yaml\ntask: local_{task}\ndataset_path: json\n"
                "dataset_name: null\ntraining_split: null\nvalidation_split: test\ntest_split: test\n"
                f"dataset_kwargs:\n  data_files:\n    test: {hub / task}.jsonl\n")
        (folder / f"{task}.yaml").write_text(text)


def run_harness(hub):
    from lm_eval import simple_evaluate
    from lm_eval.api.model import LM
    from lm_eval.tasks import TaskManager

    class Checksums(LM):
        def loglikelihood(self, requests):
            sums = [zlib.crc32("|".join(r.args).encode()) for r in requests]
            return [(-(s % 10007) / 1000, s % 3 == 0) for s in sums]

        def loglikelihood_rolling(self, requests):
            raise NotImplementedError

        def generate_until(self, requests):
            raise NotImplementedError

    with tempfile.TemporaryDirectory() as folder:
        local_tasks(hub.resolve(), pathlib.Path(folder))
        manager = TaskManager(include_path=folder)
        return simple_evaluate(model=Checksums(), tasks=[f"local_{t}" for t in TASKS], task_manager=manager,
                               bootstrap_iters=1000, log_samples=True)


def golden(results):
    out = {}
    for task in TASKS:
        documents = []
        samples = sorted(results["samples"][f"local_{task}"], key=lambda s: s["doc_id"])
        for sample in samples:
            if sample["doc_id"] == len(documents):
                documents.append({"requests": []})
            pairs = sample["arguments"]
            pairs = pairs.values() if isinstance(pairs, dict) else pairs
            for pair in pairs:
                pair = list(pair.values()) if isinstance(pair, dict) else list(pair)
                documents[-1]["requests"].append(pair[:2])
            documents[-1]["gold"] = 0 if task == "lambada_openai" else int(sample["target"])
        metrics = {k: v for k, v in results["results"][f"local_{task}"].items()
                   if "," in k and not k.startswith("perplexity_stderr")}
        out[task] = {"documents": documents, "metrics": metrics}
    return out


def main():
    os.environ.setdefault("HF_DATASETS_OFFLINE", "1")
    os.environ["DISABLE_MULTIPROC"] = "1"
    root = pathlib.Path(sys.argv[1])
    write_sets(root / "sets")
    write_hub(root / "hub")
    text = json.dumps(golden(run_harness(root / "hub")), ensure_ascii=False, indent=1)
    write(root / "golden.json", text + "\n")


if __name__ == "__main__":
    main()
