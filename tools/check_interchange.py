#!/usr/bin/env python3
"""Exports and imports against Transformers itself: the same logits from both programs.

    python3 tools/check_interchange.py build/rmoe        (torch, transformers 5, safetensors)

1. Models trained for a moment by rmoe and exported: Transformers loads them (RMoE through the Python that the export
   ships) and agrees with `rmoe trace`; RMoE also with the implementation below, written from the paper's equations.
2. Random Llamas and Mixtrals saved by Transformers: rmoe imports them and agrees.
3. Tokenizers of every kind: Transformers' ids are rmoe's, and export, import, export gives the same files.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

import torch
import torch.nn.functional as nnf
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM, MixtralConfig
from transformers import MixtralForCausalLM
from transformers.utils import logging

TOLERANCE = 1e-4
TEXT = "".join(f"The router of layer {i} remembers what the {i * i} layers below it decided.\n" for i in range(400))
TOY = """
[model]
kind = "llama"
layers = 3
hidden = 48
heads = 4
experts = 6
top_k = 2
expert_hidden = 20
dropout = 0
init_std = 0.15
[router]
state = 24
[data]
path = "toy.txt"
[train]
steps = 4
batch = 4
block = 32
micro_batches = 1
eval_blocks = 1
eval_streams = 1
analyze_every = 0
[optimizer]
name = "adamw"
lr = 1e-2
warmup = 1
"""
EXPORTS = {
    "dense": ["--router", "dense"],
    "dense, grouped keys, tied": ["--router", "dense", "--set", "model.kv_heads=2", "--set", "model.tied_head=true"],
    "smoe": ["--router", "smoe"],
    "smoe, one key head": ["--router", "smoe", "--set", "model.kv_heads=1"],
    "smoe, dense layer, shared expert": ["--router", "smoe", "--set", "model.dense_layers=1",
                                         "--set", "model.shared_hidden=36"],
    "rmoe": ["--router", "rmoe"],
    "rmoe-rnn": ["--router", "rmoe-rnn"],
    "rmoe, dense layer, shared expert": ["--router", "rmoe", "--set", "model.dense_layers=1",
                                         "--set", "model.shared_hidden=36", "--set", "model.moe_weight=0.6",
                                         "--set", "model.shared_weight=0.4"],
}
IMPORTS = {
    "Llama": (LlamaForCausalLM, LlamaConfig, dict(num_key_value_heads=4)),
    "Llama, grouped keys, tied, theta 5e5": (
        LlamaForCausalLM, LlamaConfig,
        dict(num_key_value_heads=2, tie_word_embeddings=True,
             rope_parameters={"rope_type": "default", "rope_theta": 5e5})),
    "Mixtral, grouped keys": (MixtralForCausalLM, MixtralConfig, dict(num_local_experts=5, num_experts_per_tok=3,
                                                                      num_key_value_heads=2)),
}


class Checker:
    def __init__(self, binary, folder):
        self.binary, self.folder, self.failed = binary, folder, 0

    def run(self, *args):
        result = subprocess.run([self.binary, *args], cwd=self.folder, capture_output=True, encoding="utf-8",
                                errors="replace")
        if result.returncode != 0:
            sys.exit(f"rmoe {' '.join(args)}: {result.stderr}")
        return result.stdout

    def report(self, what, difference, allowed=TOLERANCE):
        bad = not difference <= allowed
        self.failed += bad
        print(f"{what:<72} {difference:.2e}{'   FAILED, allowed ' + str(allowed) if bad else ''}", flush=True)

    def trace(self, run, tokens):
        save_file({"tokens": tokens.int()}, self.folder / "tokens.safetensors")
        self.run("trace", run, "--tokens", "tokens.safetensors", "--out", "trace.safetensors")
        return load_file(self.folder / "trace.safetensors")["logits"]

    def load(self, folder, dtype=torch.float32):
        return AutoModelForCausalLM.from_pretrained(self.folder / folder, trust_remote_code=True, dtype=dtype).eval()


def rms_norm(x, weight, eps):
    return weight * x / (x.pow(2).mean(-1, keepdim=True) + eps).sqrt()


def rope(x, theta):
    """Pairs (j, j + D/2) of [B,H,T,D] turned by position * theta^(-2j/D)."""
    T, D = x.shape[-2:]
    angle = torch.arange(T)[:, None] * theta ** (-2 * torch.arange(D // 2) / D)
    a, b = x[..., : D // 2], x[..., D // 2:]
    return torch.cat([a * angle.cos() - b * angle.sin(), b * angle.cos() + a * angle.sin()], -1)


def paper_logits(folder, tokens):
    """Section 3 of the paper in float64: no module, no cache, every expert for every token."""
    c = json.loads((folder / "config.json").read_text())
    w = {k: v.double() for k, v in load_file(folder / "model.safetensors").items()}
    heads, kv_heads, D = c["num_attention_heads"], c["num_key_value_heads"], c["head_dim"]
    P, eps, theta = c["moe_router_rnn_hidden_size"], c["rms_norm_eps"], c["rope_theta"]
    B, T = tokens.shape
    x = w["model.embed_tokens.weight"][tokens]
    h = torch.zeros(B, T, P, dtype=torch.double)
    visible = torch.ones(T, T).tril().bool()
    for i in range(c["num_hidden_layers"]):
        layer = lambda name: w[f"model.layers.{i}.{name}.weight"]
        swiglu = lambda y, one, three, two: (nnf.silu(y @ one.T) * (y @ three.T)) @ two.T
        mlp = lambda y, name: swiglu(y, *(layer(f"{name}.{p}_proj") for p in ("gate", "up", "down")))
        split = lambda y, n: y.view(B, T, n, D).transpose(1, 2)
        y = rms_norm(x, layer("input_layernorm"), eps)
        widths = (("q", heads), ("k", kv_heads), ("v", kv_heads))
        q, k, v = (split(y @ layer(f"self_attn.{m}_proj").T, n) for m, n in widths)
        q, k = rope(q, theta), rope(k, theta).repeat_interleave(heads // kv_heads, 1)
        scores = (q @ k.transpose(-1, -2) / D**0.5).masked_fill(~visible, -torch.inf)
        mixed = scores.softmax(-1) @ v.repeat_interleave(heads // kv_heads, 1)
        x = x + mixed.transpose(1, 2).reshape(B, T, heads * D) @ layer("self_attn.o_proj").T
        y = rms_norm(x, layer("post_attention_layernorm"), eps)
        if i < c["num_hidden_layers"] - c["moe_num_layers"]:
            x = x + mlp(y, "mlp")
            continue
        moe = f"model.layers.{i}.block_sparse_moe."
        u = y @ w[moe + "weight1"].T
        side = lambda s, g, z: z @ w[f"model.rnn_router.weight_{s}{g}"].T + w[f"model.rnn_router.bias_{s}{g}"]
        if c["moe_router_type"] == "gru":
            s = torch.sigmoid(side("i", "r", u) + side("h", "r", h))
            z = torch.sigmoid(side("i", "z", u) + side("h", "z", h))
            h = (1 - z) * torch.tanh(side("i", "n", u) + s * side("h", "n", h)) + z * h
        else:
            h = torch.tanh(side("i", "n", u) + side("h", "n", h))
        probs = (h @ w[moe + "weight2"].T).softmax(-1)
        kept = probs * (probs >= probs.topk(c["num_experts_per_tok"], -1).values[..., -1:])
        gates = kept / kept.sum(-1, keepdim=True)
        experts = [swiglu(y, *(layer(f"block_sparse_moe.experts.{e}.{m}") for m in ("w1", "w3", "w2")))
                   for e in range(c["num_local_experts"])]
        out = sum(gates[..., e, None] * expert for e, expert in enumerate(experts))
        if c["add_moe_share_expert"]:
            out = c["moe_weight"] * out + c["share_weight"] * mlp(y, "mlp_share")
        x = x + out
    x = rms_norm(x, w["model.norm.weight"], eps)
    return x @ w["model.embed_tokens.weight" if c["tie_word_embeddings"] else "lm_head.weight"].T


@torch.no_grad()
def check_export(check, name, options):
    run = "run-" + "".join(c if c.isalnum() else "-" for c in name)
    check.run("train", "toy.toml", "--run", run, *options)
    check.run("export", run, "--to", "hf", "--out", run + "-hf")
    tokens = torch.randint(0, 20, (3, 25))
    ours = check.trace(run, tokens)
    model = check.load(run + "-hf")
    theirs = model(tokens[:, :-1]).logits
    check.report(f"export {name}: {type(model).__name__}", (theirs - ours).abs().max().item())
    if "rmoe" in name:
        paper = paper_logits(check.folder / (run + "-hf"), tokens[:, :-1])
        check.report(f"export {name}: the paper's equations", (paper - ours).abs().max().item())
    prompt = tokens[:1, :5]
    again = [model.generate(prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=12, do_sample=False,
                            eos_token_id=None, use_cache=cache) for cache in (True, False)]
    check.report(f"export {name}: generation with a cache", float((again[0] != again[1]).sum()), 0)
    check.run("export", run, "--to", "hf", "--out", run + "-bf16", "--dtype", "bf16", "--max-shard-size", "20KB")
    rounded = check.load(run + "-bf16")
    exact = all((p == rounded.get_parameter(n).float()).all() for n, p in model.bfloat16().float().named_parameters())
    check.report(f"export {name}: bf16 shards are the rounded weights", float(not exact), 0)


def check_tokenizer(check, kind, path):
    """A run with this tokenizer, exported, imported, exported: the same ids everywhere and the same files twice."""
    run = "tokens-" + kind
    options = ["--set", f"data.tokens={path}"] if path else []
    check.run("train", "toy.toml", "--run", run, "--router", "smoe", *options)
    check.run("export", run, "--out", run + "-hf")
    check.run("import", run + "-hf", "--out", run + "-back")
    check.run("export", run + "-back", "--out", run + "-again")
    ours = [int(i) for i in check.run("tokenizer", "encode", run + "-back/latest", "toy.txt").split()]
    tokenizer = AutoTokenizer.from_pretrained(check.folder / (run + "-hf"))
    theirs = tokenizer(TEXT, add_special_tokens=False).input_ids
    check.report(f"tokenizer {kind}: ids", float(ours != theirs), 0)
    check.report(f"tokenizer {kind}: the text comes back", float(tokenizer.decode(theirs) != TEXT), 0)
    files = [{f.name: f.read_bytes() for f in (check.folder / (run + end)).iterdir()} for end in ("-hf", "-again")]
    check.report(f"tokenizer {kind}: export, import, export", float(files[0] != files[1]), 0)
    check.run("eval", run + "-back", "--data", "toy.txt")
    check.run("sample", run + "-back", "--prompt", "The router", "--tokens", "5")


@torch.no_grad()
def check_import(check, name, model_class, config_class, options):
    folder = "hf-" + "".join(c if c.isalnum() else "-" for c in name)
    model = model_class(config_class(vocab_size=61, hidden_size=48, intermediate_size=40, num_hidden_layers=3,
                                     num_attention_heads=4, max_position_embeddings=64, **options)).eval()
    for p in model.parameters():
        p.copy_(torch.randn_like(p) * 0.2 + (p.dim() == 1))
    for dtype, shards in ((torch.float32, "40KB"), (torch.float16, "1GB"), (torch.bfloat16, "1GB")):
        saved = f"{folder}-{str(dtype)[6:]}"
        model.to(dtype).save_pretrained(check.folder / saved, max_shard_size=shards)
        reference = model_class.from_pretrained(check.folder / saved, dtype=torch.float32).eval()
        tokens = torch.randint(0, 61, (2, 33))
        check.run("import", saved, "--from", "hf", "--out", saved + "-run", "--tokenizer", "vocabulary.json")
        difference = (reference(tokens[:, :-1]).logits - check.trace(saved + "-run", tokens)).abs().max().item()
        check.report(f"import {name}, {dtype}", difference)


def main():
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    torch.manual_seed(1)
    with tempfile.TemporaryDirectory() as folder:
        check = Checker(pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(folder))
        (check.folder / "toy.txt").write_text(TEXT)
        (check.folder / "toy.toml").write_text(TOY)
        (check.folder / "vocabulary.json").write_text('{"tokens":"byte","newline":"eos","symbols":[97,"<eos>"]}')
        for name, options in EXPORTS.items():
            check_export(check, name, options)
        for name, what in IMPORTS.items():
            check_import(check, name, *what)
        for kind in ("bytes", "sentencepiece"):
            check.run("tokenizer", "train", "toy.txt", "--kind", kind, "--vocab", "320", "--out", kind)
            check_tokenizer(check, kind, kind)
        check_tokenizer(check, "vocabulary", "")
    print("FAILED" if check.failed else "all agree")
    return 1 if check.failed else 0


sys.exit(main())
