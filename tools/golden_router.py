"""Every router of the paper in float64 PyTorch, from the equations alone: what feeds the head, how the state passes
between layers, and what turns features into logits. golden_model.py puts them into models.
"""

from dataclasses import dataclass

import torch

GATES = {"gru": 3, "rnn": 1, "lstm": 4}
HIDDEN = 256  # of the MLP head and of the hypernet


@dataclass(frozen=True)
class Router:
    head: str = "linear"  # linear | mlp | cosine | hyper
    width: int = 0  # of a cosine head's projection; 0: none
    frozen: bool = False
    cell: str = ""  # gru | rnn | lstm; "": the head reads x
    shared_projector: bool = False  # the cell reads x itself
    passing: str = "state"  # state | detached | none
    residual: float = 0.0
    detach_residual: bool = False


ROUTERS = {
    "smoe": Router(),
    "smoe-mlp": Router(head="mlp"),
    "random": Router(frozen=True),
    "hyper": Router(head="hyper"),
    "cosine": Router(head="cosine"),
    "xmoe8": Router(head="cosine", width=8),
    "xmoe": Router(head="cosine", width=16),
    "xmoe32": Router(head="cosine", width=32),
    "rmoe": Router(cell="gru"),
    "rmoe-rnn": Router(cell="rnn"),
    "rmoe-lstm": Router(cell="lstm"),
    "rmoe-shared-proj": Router(cell="gru", shared_projector=True),
    "rmoe-detach": Router(cell="gru", passing="detached"),
    "rmoe-np": Router(cell="gru", passing="none"),
    "rmoe-np-r0.5": Router(cell="gru", passing="none", residual=0.5),
    "rmoe-np-r1.0": Router(cell="gru", passing="none", residual=1.0),
    "rmoe-np-r0.5-detach": Router(cell="gru", passing="none", residual=0.5, detach_residual=True),
    "rmoe-np-r1.0-detach": Router(cell="gru", passing="none", residual=1.0, detach_residual=True),
    "xmoe8-rmoe": Router(head="cosine", width=8, cell="gru"),
    "xmoe-rmoe": Router(head="cosine", width=16, cell="gru"),
    "xmoe32-rmoe": Router(head="cosine", width=32, cell="gru"),
}


def linear_shapes(name, inputs, outputs, bias):
    return {f"{name}.weight": (outputs, inputs)} | ({f"{name}.bias": (outputs,)} if bias else {})


def router_shapes(name, C, E, P, bias):
    """Keys and shapes of one layer's router."""
    r = ROUTERS[name]
    features = P if r.cell else C
    shapes = {"proj.weight": (P, C)} if r.cell and not r.shared_projector else {}
    if r.head == "linear":
        return shapes | linear_shapes("head", features, E, bias)
    if r.head == "mlp":
        shapes |= linear_shapes("head.hidden", features, HIDDEN, bias)
        return shapes | linear_shapes("head.out", HIDDEN, E, bias)
    if r.head == "cosine":
        shapes |= {"head.proj.weight": (r.width, features)} if r.width else {}
        return shapes | {"head.embeddings": (E, r.width or features), "head.temperature": (1,)}
    shapes |= {"head.embedding": (1, features)} | linear_shapes("head.hidden", features, HIDDEN, True)
    shapes |= linear_shapes("head.weight", HIDDEN, E * features, True)
    return shapes | (linear_shapes("head.bias", HIDDEN, E, True) if bias else {})


def cell_shapes(name, C, P):
    """Keys and shapes of the cell all layers share."""
    r = ROUTERS[name]
    if not r.cell:
        return {}
    rows, inputs = GATES[r.cell] * P, C if r.shared_projector else P
    return {"weight_ih": (rows, inputs), "weight_hh": (rows, P), "bias_ih": (rows,), "bias_hh": (rows,)}


def is_frozen(name, key):
    """Does the parameter never learn? A hypernet's own weights do not, only the vector it reads."""
    r = ROUTERS.get(name)
    if r is None or ".router.head." not in key:
        return False
    return r.frozen or (r.head == "hyper" and not key.endswith("head.embedding"))


def detaches(name):
    r = ROUTERS.get(name)
    return r is not None and (r.passing == "detached" or r.detach_residual)


def cell_step(kind, p, x, h, c):
    """torch's conventions; the state runs over layers, each token has its own."""
    xs = (x @ p["weight_ih"].T + p["bias_ih"]).chunk(GATES[kind], dim=-1)
    hs = (h @ p["weight_hh"].T + p["bias_hh"]).chunk(GATES[kind], dim=-1)
    if kind == "rnn":
        return torch.tanh(xs[0] + hs[0]), c
    if kind == "lstm":
        i, f, g, o = (a + b for a, b in zip(xs, hs))
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c
    s, z = torch.sigmoid(xs[0] + hs[0]), torch.sigmoid(xs[1] + hs[1])  # eq. 2, 3, 5
    return (1 - z) * torch.tanh(xs[2] + s * hs[2]) + z * h, c


def head_logits(r, p, f):
    affine = lambda name, x: x @ p[f"{name}.weight"].T + p.get(f"{name}.bias", 0)
    if r.head == "linear":
        return affine("head", f)
    if r.head == "mlp":
        hidden = affine("head.hidden", f)
        return affine("head.out", hidden * 0.5 * (1 + torch.erf(hidden / 2**0.5)))
    if r.head == "cosine":
        if r.width:
            f = f @ p["head.proj.weight"].T
        v = p["head.embeddings"]
        cosine = f @ v.T / f.norm(dim=-1, keepdim=True) / v.norm(dim=-1)
        return cosine / p["head.temperature"]
    hidden = torch.relu(affine("head.hidden", p["head.embedding"]))
    weight = affine("head.weight", hidden).view(-1, f.shape[-1])
    bias = affine("head.bias", hidden).flatten() if "head.bias.weight" in p else 0
    return f @ weight.T + bias


def route(name, p, cell, x, state):
    """Logits the gate reads, and the state for the next layer: (h, c, the layer's own logits)."""
    r = ROUTERS[name]
    h, c, before = state
    if r.cell:
        zero = x.new_zeros(*x.shape[:-1], cell["weight_hh"].shape[1])
        h, c = (zero, zero) if h is None else (h, c)
        h, c = cell_step(r.cell, cell, x if r.shared_projector else x @ p["proj.weight"].T, h, c)
    own = head_logits(r, p, h if r.cell else x)
    logits = own if before is None else own + r.residual * before
    if r.passing == "none":
        h, c = None, None
    elif r.passing == "detached":
        h, c = h.detach(), c.detach()
    passed = None if r.residual == 0 else own.detach() if r.detach_residual else own
    return logits, (h, c, passed)
