#!/usr/bin/env python3
"""Writes tests/golden/hf-*: tiny random models saved by Transformers, with the logits it computes in float64.

    python3 tools/make_interchange_golden.py        (torch, transformers 5, safetensors)

A Llama with grouped keys, one with a tied head, a Mixtral in bf16 shards, and an RMoE by the Python that exports ship
(which check_interchange.py holds against the paper's equations): what `rmoe import` must agree with.
"""

import pathlib
import shutil
import sys

import torch
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM, MixtralConfig, MixtralForCausalLM

ROOT = pathlib.Path(__file__).resolve().parent.parent
OUT = ROOT / "tests" / "golden"
sys.path.insert(0, str(ROOT / "train" / "interchange"))
from modeling_rmoe import RmoeConfig, RmoeForCausalLM  # noqa: E402

SIZES = dict(vocab_size=19, hidden_size=12, num_hidden_layers=2, max_position_embeddings=32, bos_token_id=None,
             eos_token_id=None)


def spread(model):
    """Norms off one and weights large enough that attention and routing are far from uniform."""
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.copy_(torch.randn_like(p) * 0.4 + (1.0 if "norm" in name else 0.0))


def write(name, model, dtype=torch.float32, **save):
    folder = OUT / f"hf-{name}"
    shutil.rmtree(folder, ignore_errors=True)
    spread(model)
    model = model.to(dtype)
    model.config._experts_implementation = "eager"  # the others have no float64
    model.save_pretrained(folder, **save)
    (folder / "generation_config.json").unlink(missing_ok=True)
    tokens = torch.randint(0, SIZES["vocab_size"], (2, 8))
    with torch.no_grad():
        logits = model.eval().double()(tokens[:, :-1]).logits
    save_file({"tokens": tokens.int(), "logits": logits.double()}, folder / "logits.safetensors")
    for file in folder.iterdir():
        file.chmod(0o644)
    print(folder, sum(f.stat().st_size for f in folder.iterdir()), "bytes")


def main():
    torch.manual_seed(1)
    write("llama-gqa", LlamaForCausalLM(LlamaConfig(
        **(SIZES | {"hidden_size": 24}), intermediate_size=10, num_attention_heads=6, num_key_value_heads=2,
        rms_norm_eps=1e-3,
        rope_parameters={"rope_type": "default", "rope_theta": 500.0})))
    write("llama-tied", LlamaForCausalLM(LlamaConfig(
        **SIZES, intermediate_size=10, num_attention_heads=3, tie_word_embeddings=True)))
    write("mixtral", MixtralForCausalLM(MixtralConfig(
        **SIZES, intermediate_size=8, num_attention_heads=3, num_key_value_heads=1, num_local_experts=5,
        num_experts_per_tok=2)), dtype=torch.bfloat16, max_shard_size="4KB")
    write("rmoe", RmoeForCausalLM(RmoeConfig(
        **SIZES, intermediate_size=9, num_attention_heads=3, num_key_value_heads=3, num_local_experts=4,
        num_experts_per_tok=2, moe_num_layers=1, moe_expert_intermediate_size=6, moe_router_rnn_hidden_size=5,
        add_moe_share_expert=True, moe_share_expert_intermediate_size=7, moe_weight=0.7, share_weight=0.4)))
    write("rmoe-deep", RmoeForCausalLM(RmoeConfig(
        **(SIZES | {"num_hidden_layers": 3}), intermediate_size=6, num_attention_heads=3, num_key_value_heads=3,
        num_local_experts=4, num_experts_per_tok=2, moe_num_layers=3, moe_router_rnn_hidden_size=5)))


main()
