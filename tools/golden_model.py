"""The two models in float64 PyTorch, written from the equations alone; make_golden.py runs and checks them.

They share no code with the program, so that a mistake would have to be made twice to go unseen.

Sizes: B batch, T tokens per block, N = B T, C hidden, H heads, D = C / H, L span, E experts, K experts per token,
F expert width, P router state, V vocabulary.
"""

import math
from dataclasses import dataclass
from fractions import Fraction

import torch
import torch.nn.functional as nnf

from golden_router import cell_shapes, route, router_shapes

AUX_WEIGHT = 0.01
NORM_EPS = 1e-5
ROPE_THETA = 10000.0


@dataclass(frozen=True)
class Case:
    kind: str  # lm | llama
    router: str  # dense, or a name of golden_router.ROUTERS
    layers: int
    B: int
    T: int
    C: int
    H: int
    E: int
    K: int
    F: int
    P: int
    V: int
    L: int = 0
    seed: int = 0
    kv_heads: int = 0  # 0: H
    dense_layers: int = 0  # the first layers, without experts
    dense_hidden: int = 0
    shared_hidden: int = 0  # 0: no shared expert
    moe_weight: float = 1.0
    shared_weight: float = 1.0
    tied_head: bool = False
    z_loss_weight: float = 0.0
    capacity_factor: float = 0.0  # 0: no token is dropped
    balance_layers: str = "each"  # each | joint

    def dense(self, layer):
        return self.router == "dense" or layer < self.dense_layers


def swiglu_shapes(name, F, C):
    return {f"{name}.w1": (F, C), f"{name}.w2": (C, F), f"{name}.w3": (F, C)}


def layer_shapes(c, layer):
    lm = c.kind == "lm"
    heads = {"q": c.H, "k": c.kv_heads or c.H, "v": c.kv_heads or c.H, "o": c.H}
    shapes = {f"attn.{x}.weight": (c.C // c.H * n, c.C) for x, n in heads.items()}
    for name in ("norm1", "norm_moe", "norm2") if lm else ("norm1", "norm2"):
        shapes |= {f"{name}.{x}": (c.C,) for x in (("weight", "bias") if lm else ("weight",))}
    if c.dense(layer):
        return shapes | swiglu_shapes("mlp", c.dense_hidden or c.F, c.C)
    if c.shared_hidden:
        shapes |= swiglu_shapes("moe.shared", c.shared_hidden, c.C)
    shapes |= {"moe.experts.w1": (c.E, c.F, c.C), "moe.experts.w2": (c.E, c.C, c.F)}
    if lm:
        shapes |= {"moe.experts.b1": (c.E, c.F), "moe.experts.b2": (c.E, c.C)}
    else:
        shapes |= {"moe.experts.w3": (c.E, c.F, c.C)}
    return shapes | {f"moe.router.{key}": shape for key, shape in router_shapes(c.router, c.C, c.E, c.P, lm).items()}


def parameter_shapes(c):
    """Every checkpoint key and its shape."""
    shapes = {"embed.weight": (c.V, c.C)} | ({} if c.tied_head else {"head.weight": (c.V, c.C)})
    shapes |= {"key_pe": (c.C // c.H, c.L), "head.bias": (c.V,)} if c.kind == "lm" else {"norm.weight": (c.C,)}
    if c.router != "dense":
        shapes |= {f"router_cell.{key}": shape for key, shape in cell_shapes(c.router, c.C, c.P).items()}
    for i in range(c.layers):
        shapes |= {f"layers.{i}.{name}": shape for name, shape in layer_shapes(c, i).items()}
    return shapes


def sub(params, prefix):
    """The parameters of one module, by their names inside it."""
    return {name.removeprefix(prefix): x for name, x in params.items() if name.startswith(prefix)}


def norm(p, x):
    """LayerNorm where there is a bias, RMSNorm where there is none."""
    if "bias" not in p:
        return p["weight"] * x / torch.sqrt(x.square().mean(-1, keepdim=True) + NORM_EPS)
    centred = x - x.mean(-1, keepdim=True)
    return p["weight"] * centred / torch.sqrt(centred.square().mean(-1, keepdim=True) + NORM_EPS) + p["bias"]


def split_heads(x, H):
    return x.unflatten(-1, (H, -1)).transpose(1, 2)  # [B,H,T,D]


def join_heads(x):
    return x.transpose(1, 2).flatten(2)  # [B,T,C]


def span_attention(q, k, v, key_pe):
    """Token t sees the L positions before it, never itself. q [B,H,T,D]; k, v [B,H,L+T,D]; key_pe [D,L]."""
    D, L = key_pe.shape
    T = q.shape[2]
    reach = torch.arange(T)[:, None] + torch.arange(L)  # [T,L]: token t is context position L+t, slot 0 is L before it
    scores = torch.einsum("bhtd,bhtld->bhtl", q, k[:, :, reach] + key_pe.T) / math.sqrt(D)
    return torch.einsum("bhtl,bhtld->bhtd", scores.softmax(-1), v[:, :, reach])


def rope(x):
    """Rotate-half: channel d turns with channel d + D/2, by the angle t theta^(-2d/D)."""
    T, D = x.shape[-2:]
    frequency = ROPE_THETA ** (-torch.arange(0, D, 2, dtype=x.dtype) / D)
    angle = torch.arange(T, dtype=x.dtype)[:, None] * frequency  # [T,D/2]
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * angle.cos() - b * angle.sin(), b * angle.cos() + a * angle.sin()], dim=-1)


def causal_attention(q, k, v):
    """Token t sees the tokens up to and including itself. q, k, v [B,H,T,D]."""
    T, D = q.shape[-2:]
    scores = rope(q) @ rope(k).transpose(-1, -2) / math.sqrt(D)
    future = torch.ones(T, T, dtype=torch.bool).triu(1)
    return scores.masked_fill(future, -math.inf).softmax(-1) @ v


def attention(c, p, h, memory, key_pe):
    context = h if memory is None else torch.cat([memory, h], dim=1)  # [B,L+T,C]
    project = lambda name, x, heads: split_heads(x @ p[f"{name}.weight"].T, heads)
    groups = c.kv_heads or c.H
    q = project("q", h, c.H)
    k, v = (project(name, context, groups).repeat_interleave(c.H // groups, dim=1) for name in "kv")
    y = causal_attention(q, k, v) if memory is None else span_attention(q, k, v, key_pe)
    return join_heads(y) @ p["o.weight"].T


def gate(logits, K):
    """Gates and choices [B,T,K], and what load balance is measured by: f [E], the share of assignments, and P [E]."""
    E = logits.shape[-1]
    probs = logits.softmax(-1)
    top, experts = (x[..., :K] for x in probs.sort(dim=-1, descending=True, stable=True))  # ties: the lower index first
    share = nnf.one_hot(experts, E).to(probs).flatten(0, 2).mean(0)  # [E], of the N K assignments; a count: no gradient
    return top / top.sum(-1, keepdim=True), experts, (share, probs.flatten(0, 1).mean(0))


def load_balance(c, layers):
    """E sum_e f_e P_e of every layer, summed; or once, of the tokens of all layers together."""
    if c.balance_layers == "joint":
        layers = [[torch.stack(x).mean(0) for x in zip(*layers)]]
    return sum((c.E * (f * P).sum() for f, P in layers), torch.zeros((), dtype=torch.float64))


def capacity(c):
    """The most assignments an expert takes of a block."""
    return math.ceil(Fraction(str(c.capacity_factor)) * c.B * c.T * c.K / c.E)


def kept(c, logits, experts):
    """[B,T,E]: 1 where a token goes to an expert that has room: highest scores first, ties to the first token."""
    chosen = nnf.one_hot(experts, c.E).sum(-2).flatten(0, 1)  # [N,E]
    if c.capacity_factor:
        scores = logits.detach().softmax(-1).flatten(0, 1)
        for e in range(c.E):
            tokens = sorted(chosen[:, e].nonzero().flatten().tolist(), key=lambda n: (-scores[n, e].item(), n))
            chosen[tokens[capacity(c) :], e] = 0
    return chosen.view(*logits.shape)


def run_experts(p, x):
    """Every expert on every token, [B,T,E,C]: plain to read, and those not chosen are multiplied by zero."""
    hidden = torch.einsum("btc,efc->btef", x, p["w1"])
    if "w3" in p:
        hidden = nnf.silu(hidden) * torch.einsum("btc,efc->btef", x, p["w3"])
        return torch.einsum("btef,ecf->btec", hidden, p["w2"])
    return torch.einsum("btef,ecf->btec", torch.relu(hidden + p["b1"]), p["w2"]) + p["b2"]


def swiglu(p, x):
    return (nnf.silu(x @ p["w1"].T) * (x @ p["w3"].T)) @ p["w2"].T


def moe(c, layer, cell, x, state):
    """Returns y, the router state for the next layer, what load balance is measured by and what the trace shows."""
    if "mlp.w1" in layer:
        return swiglu(sub(layer, "mlp."), x), state, None, {}
    logits, state = route(c.router, sub(layer, "moe.router."), cell, x, state)
    gates, experts, aux = gate(logits, c.K)
    weight = torch.zeros_like(logits).scatter(-1, experts, gates) * kept(c, logits, experts)  # [B,T,E]
    y = torch.einsum("bte,btec->btc", weight, run_experts(sub(layer, "moe.experts."), x))
    if c.shared_hidden:
        y = c.moe_weight * y + c.shared_weight * swiglu(sub(layer, "moe.shared."), x)
    return y, state, aux, {"router_logits": logits, "gates": gates, "experts": experts.int()}


def lm_block(c, layer, cell, h, state, memory, key_pe):
    """Post-norm, with a norm and a residual of its own around the MoE."""
    h = norm(sub(layer, "norm1."), h + attention(c, sub(layer, "attn."), h, memory, key_pe))
    y, state, aux, routing = moe(c, layer, cell, h, state)
    m = norm(sub(layer, "norm_moe."), h + y)
    return norm(sub(layer, "norm2."), h + m), state, aux, routing


def llama_block(c, layer, cell, h, state):
    """Pre-norm; the router reads the tensor the experts see."""
    h = h + attention(c, sub(layer, "attn."), norm(sub(layer, "norm1."), h), None, None)
    y, state, aux, routing = moe(c, layer, cell, norm(sub(layer, "norm2."), h), state)
    return h + y, state, aux, routing


def zero_memory(c, dtype=torch.float64):
    return [torch.zeros(c.B, c.L, c.C, dtype=dtype)] * c.layers if c.kind == "lm" else None


def forward(c, params, tokens, memory):
    """One block: everything the trace shows but gradients, and the memory it leaves behind."""
    inputs, targets = tokens[:, :-1].long(), tokens[:, 1:].long()
    h = params["embed.weight"][inputs]
    state, balance = (None, None, None), []
    cell, trace, next_memory = sub(params, "router_cell."), {}, []
    for i in range(c.layers):
        layer = sub(params, f"layers.{i}.")
        if c.kind == "lm":
            next_memory.append(torch.cat([memory[i], h], dim=1)[:, -c.L :].detach())
            h, state, aux, routing = lm_block(c, layer, cell, h, state, memory[i], params["key_pe"])
        else:
            h, state, aux, routing = llama_block(c, layer, cell, h, state)
        balance += [aux] if aux else []
        trace |= {f"layers.{i}.{name}": x for name, x in {**routing, "output": h}.items()}
    if c.kind == "llama":
        h = norm(sub(params, "norm."), h)
    logits = h @ params["embed.weight" if c.tied_head else "head.weight"].T + params.get("head.bias", 0)
    loss = nnf.cross_entropy(logits.flatten(0, 1), targets.flatten())
    result = {"loss": loss, "aux_loss": load_balance(c, balance).to(loss.dtype), "logits": logits}
    if c.z_loss_weight:
        routed = [x for name, x in trace.items() if name.endswith("router_logits")]
        result["z_loss"] = sum(x.logsumexp(-1).square().mean() for x in routed)
    return {**result, **trace}, next_memory


def total_loss(c, trace):
    return trace["loss"] + AUX_WEIGHT * trace["aux_loss"] + c.z_loss_weight * trace.get("z_loss", 0)
