"""Make tests/golden/analysis.*: the analyses of trained models, computed word for word as they are defined.

To regenerate, as for make_golden.py:

    venv/bin/python tools/make_analysis_golden.py

Files, safetensors, inputs in F32 and I32, results in F64:

    analysis.CASE     probs [layers,N,E] and experts [layers,N,K] of a made-up gate, and what must be said of them
    analysis.KIND     the experts and gate matrices of a two-layer model, and what must be said of them
"""

import argparse
from pathlib import Path

import numpy as np
import safetensors.numpy
from sklearn.metrics import mutual_info_score

ENTROPY_BINS = 50

# layers, N, E, K, and how far apart logits lie: near 0 everything falls into few bins, at 6 most scores are 0 or 1.
GATES = {
    "sharp": (4, 61, 16, 2, 6.0),
    "soft": (3, 40, 5, 3, 1.0),
    "flat": (2, 33, 4, 1, 0.02),
    "wide": (2, 12, 70, 4, 4.0),  # more experts than a machine word has bits
}


def made_up_gate(rng, layers, N, E, K, spread):
    """Logits of neighbouring layers resemble each other, so that there is information to share."""
    logits = spread * rng.standard_normal((layers, N, E))
    logits[1:] += logits[:-1]
    p = np.exp(logits - logits.max(-1, keepdims=True))
    p = (p / p.sum(-1, keepdims=True)).astype(np.float32)
    return p, np.argsort(-p, axis=-1, kind="stable")[..., :K].astype(np.int32)


def bins(p):
    """100 bins of equal width over [0, 1], the last closed on the right."""
    edges = np.linspace(0, 1, 101)
    return np.digitize(p.astype(np.float64), edges[1:-1])


def mutual_information(probs):
    layers, N, _ = probs.shape
    matrix = np.zeros((layers, layers))
    for i in range(layers):
        for j in range(i):
            scores = [mutual_info_score(bins(probs[i, n]), bins(probs[j, n])) for n in range(N)]
            matrix[i, j] = np.mean(scores)
    return matrix


def gate_results(probs, experts):
    p = probs.astype(np.float64)
    layers, N, E = p.shape
    entropy = -(p * np.log(p, where=p > 0, out=np.zeros_like(p))).sum(-1)
    histogram = [np.histogram(h, ENTROPY_BINS, (0, np.log(E)))[0] / N for h in entropy]
    descending = -np.sort(-p, axis=-1)
    inner = descending[..., 0] / descending[..., 1]
    outer = descending[..., : experts.shape[-1]].sum(-1)
    return {
        "mutual_information": mutual_information(probs),
        "entropy_mean": entropy.mean(-1),
        "entropy_stddev": entropy.std(-1),
        "entropy_histogram": np.array(histogram),
        "inner": np.array([np.median(inner), *np.median(inner, axis=-1)]),  # all layers, then each
        "outer": np.array([np.median(outer), *np.median(outer, axis=-1)]),
        "frequency": np.array([np.bincount(e.ravel(), minlength=E) / e.size for e in experts]),
    }


def similarity(weights, layer, parts):
    """Per expert the means of its matrices over the width F, each of length 1, joined; mean over all pairs."""
    vectors = []
    for name in parts:
        w = weights[f"layers.{layer}.moe.experts.{name}"].astype(np.float64)
        mean = w.mean(2 if name == "w2" else 1)  # w2 is [E,C,F], the others [E,F,C]
        vectors.append(mean / np.linalg.norm(mean, axis=-1, keepdims=True))
    joined = np.concatenate(vectors, axis=-1)
    dots = [a @ b for a in joined for b in joined]
    return np.mean(dots)


def weight_case(rng, parts, layers=2, E=4, F=10, C=12):
    """Shapes of the tiny models of tests/tiny_models.cpp."""
    weights, results = {}, {"similarity": [], "norm": [], "stddev": []}
    for i in range(layers):
        for name in parts:
            shape = (E, C, F) if name == "w2" else (E, F, C)
            weights[f"layers.{i}.moe.experts.{name}"] = (0.3 + rng.standard_normal(shape)).astype(np.float32)
        gate = rng.standard_normal((E, C)).astype(np.float32)
        weights[f"layers.{i}.moe.router.head.weight"] = gate
        results["similarity"].append(similarity(weights, i, parts))
        results["norm"].append(np.sqrt((gate.astype(np.float64) ** 2).sum()))
        results["stddev"].append(gate.astype(np.float64).std())
    return weights | {f"result.{name}": np.array(x) for name, x in results.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent.parent / "tests" / "golden")
    out = parser.parse_args().out
    rng = np.random.default_rng(1)
    for name, shape in GATES.items():
        probs, experts = made_up_gate(rng, *shape)
        results = gate_results(probs, experts)
        tensors = {"probs": probs, "experts": experts, **results}
        safetensors.numpy.save_file(tensors, out / f"analysis.{name}.safetensors")
        print(name, {k: np.round(v.ravel()[:4], 4).tolist() for k, v in results.items()})
    for kind, parts in {"lm": ["w1", "w2"], "llama": ["w1", "w3", "w2"]}.items():
        case = weight_case(rng, parts)
        safetensors.numpy.save_file(case, out / f"analysis.{kind}.safetensors")
        print(kind, {k: np.round(v, 4).tolist() for k, v in case.items() if k.startswith("result")})


if __name__ == "__main__":
    main()
