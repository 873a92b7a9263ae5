#!/usr/bin/env python3
"""What `rmoe plan --json` predicts of every op, by the kernels that run it, as a Markdown table.

    build/rmoe plan train/configs/pretrain-paper.toml --gpus 8 --micro-batch 4 --json | tools/roofline_table.py

FLOP and bytes are the op's own; the limit is the longer time that the plan's GPU needs for either; the share of the
roofline is the limit over the time that a good kernel takes. Nothing here was measured.
"""

import json
import sys

# What runs on cuBLASLt is not listed: projections, head.
KERNELS = {
    "F norm 1 + residual": "rms_norm forward, add_fwd", "F norm 2 + residual": "rms_norm add_forward",
    "B norm 1": "rms_norm backward, rms_norm_bwd_w", "B norm 2": "rms_norm backward, rms_norm_bwd_w",
    "F norms, residuals, dropout": "layer_norm add_forward, dropout_into",
    "B norms, residuals, dropout": "layer_norm backward, layer_norm_bwd_w, layer_norm_bwd_b, dropout_into",
    "F attention": "causal_fwd", "B attention": "causal_bwd_keys, causal_bwd_queries",
    "F span attention": "span_fwd", "B span attention": "span_bwd_keys, span_bwd_queries, span_bwd_slots",
    "F cell, gate, top K": "gru_fwd, softmax_fwd, topk_gate_fwd",
    "F sort": "count, scan, place",
    "F experts, first products": "swiglu_fwd; lm: relu_fwd", "F experts, last product": "grouped_rows",
    "F combine": "gather_rows",
    "B weights of the combination": "hidden, give_dots", "B sum over a token's rows": "gather_rows",
    "B experts, last product, dx": "hidden", "B experts, last product, dw": "grouped_weights",
    "B experts, first products, dx": "swiglu_bwd_x", "B experts, first products, dw": "grouped_weights",
    "B experts, dx": "hidden, grouped_rows", "B experts, dw": "grouped_weights",
    "B experts, biases": "add_bias_dots, grouped_linear_bwd_b, experts_bwd_b2",
    "F embedding": "embedding_fwd",
    "B embedding": "count_digits, sum_before, move_by_digit, add_runs, add_parts",
    "softmax, loss and dlogits": "cross_entropy_fold, cross_entropy_bwd",
}


def main():
    plan = json.load(sys.stdin)
    columns = ["kernels", "op", "calls", "GFLOP", "MB", "FLOP/byte", "limit, us", "good, us", "share of the roofline"]
    print("| " + " | ".join(columns) + " |\n" + "|---" * len(columns) + "|")
    for op in plan["ops"]:
        if op["op"] not in KERNELS:
            continue
        calls, flops, moved = op["times"], op["flops"], op["bytes"]
        limit, good = (op["s"][key] / calls * 1e6 for key in ("limit", "good"))
        share = f"{100 * limit / good:.0f} %" if limit else "beside the products"
        print(f"| {KERNELS[op['op']]} | {op['op']} | {calls:.0f} | {flops / 1e9:.1f} | {moved / 1e6:.0f} | "
              f"{flops / moved:.0f} | {limit:.0f} | {good:.0f} | {share} |")


if __name__ == "__main__":
    main()
