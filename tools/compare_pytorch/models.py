"""Both models in plain PyTorch, as fast as its own operators make them without custom kernels.

Module names are rmoe's checkpoint keys, so weights pass both ways. Experts: one sort, one gather, a matrix product per
expert, one scatter. Causal attention is PyTorch's fused one; span attention has the skewing trick of adaptive-span.
"""

import math

import torch
import torch.nn.functional as nnf
from torch import nn


class Experts(nn.Module):
    """ReLU experts with biases (lm) or SwiGLU experts without (llama), stacked over experts."""

    def __init__(self, c, lm):
        super().__init__()
        E, F, C, std = c["experts"], c["expert_hidden"], c["hidden"], c.get("init_std", 0.02)
        normal = lambda *shape: nn.Parameter(torch.randn(shape) * std)
        self.w1, self.w2 = normal(E, F, C), normal(E, C, F)
        if lm:
            self.b1, self.b2 = nn.Parameter(torch.zeros(E, F)), nn.Parameter(torch.zeros(E, C))
        else:
            self.w3 = normal(E, F, C)
        self.lm, self.dropout = lm, c.get("dropout", 0.0)

    def run(self, e, rows):
        if not self.lm:
            return nnf.linear(nnf.silu(nnf.linear(rows, self.w1[e])) * nnf.linear(rows, self.w3[e]), self.w2[e])
        hidden = nnf.relu(nnf.linear(rows, self.w1[e], self.b1[e]))
        return nnf.linear(nnf.dropout(hidden, self.dropout, self.training), self.w2[e], self.b2[e])

    def forward(self, x, gates, experts):  # [N,C], [N,K], [N,K]
        flat = experts.flatten()
        order = flat.argsort(stable=True)
        token = order // experts.shape[1]
        counts = flat.bincount(minlength=self.w1.shape[0]).tolist()
        rows = torch.cat([self.run(e, part) for e, part in enumerate(x[token].split(counts))])
        return torch.zeros_like(x).index_add_(0, token, rows * gates.flatten()[order, None])


class Router(nn.Module):
    def __init__(self, c, router, lm):
        super().__init__()
        self.recurrent = router["name"] == "rmoe"
        P, C = router["state"], c["hidden"]
        if self.recurrent:
            self.proj = nn.Linear(C, P, bias=False)
        self.head = nn.Linear(P if self.recurrent else C, c["experts"], bias=lm)
        self.K = c["top_k"]

    def forward(self, x, cell, state):
        if self.recurrent:
            x = state = cell(self.proj(x), state)
        probs = self.head(x).softmax(-1)
        top, experts = probs.topk(self.K)
        return probs, top / top.sum(-1, keepdim=True), experts, state


class Moe(nn.Module):
    def __init__(self, c, router, lm):
        super().__init__()
        self.router, self.experts = Router(c, router, lm), Experts(c, lm)

    def forward(self, x, cell, state):
        B, T, C = x.shape
        x = x.reshape(B * T, C)
        probs, gates, experts, state = self.router(x, cell, state)
        E = probs.shape[1]
        share = experts.flatten().bincount(minlength=E).to(probs) / experts.numel()
        return self.experts(x, gates, experts).view(B, T, C), state, E * (share * probs.mean(0)).sum()


def unskew(x):
    """[B,T,T+L] -> [B,T,L]: row t loses its first t columns."""
    B, T, M = x.shape
    return nnf.pad(x.reshape(B, -1), (0, T)).view(B, T, M + 1)[:, :, : M - T]


def skew(x):
    """[B,T,L] -> [B,T,T+L]: row t moves t columns to the right."""
    B, T, L = x.shape
    return nnf.pad(x, (0, T + 1)).view(B, -1)[:, :-T].view(B, T, T + L)


class Attention(nn.Module):
    def __init__(self, c, lm):
        super().__init__()
        self.H, self.lm, self.dropout = c["heads"], lm, c.get("dropout", 0.0)
        self.q, self.k, self.v, self.o = (nn.Linear(c["hidden"], c["hidden"], bias=False) for _ in range(4))

    def heads(self, x):
        return x.unflatten(-1, (self.H, -1)).transpose(1, 2)  # [B,H,T,D]

    def forward(self, h, memory, key_pe, rope):
        context = torch.cat([memory, h], 1) if self.lm else h
        q, k, v = self.heads(self.q(h)), self.heads(self.k(context)), self.heads(self.v(context))
        if not self.lm:
            y = nnf.scaled_dot_product_attention(rope(q), rope(k), v, is_causal=True)
            return self.o(y.transpose(1, 2).flatten(2))
        B, H, T, D = q.shape
        q, k, v = q.flatten(0, 1) / math.sqrt(D), k.flatten(0, 1), v.flatten(0, 1)
        probs = (unskew(q @ k.transpose(1, 2))[:, :, : key_pe.shape[1]] + q @ key_pe).softmax(-1)
        y = skew(nnf.dropout(probs, self.dropout, self.training)) @ v
        return self.o(y.view(B, H, T, D).transpose(1, 2).flatten(2))


class Block(nn.Module):
    def __init__(self, c, router, lm):
        super().__init__()
        norm = (lambda: nn.LayerNorm(c["hidden"])) if lm else (lambda: nn.RMSNorm(c["hidden"], eps=1e-5))
        self.norm1, self.attn = norm(), Attention(c, lm)
        if lm:
            self.norm_moe = norm()
        self.norm2, self.moe = norm(), Moe(c, router, lm)
        self.lm, self.dropout = lm, c.get("dropout", 0.0)

    def forward(self, h, memory, key_pe, rope, cell, state):
        if not self.lm:
            h = h + self.attn(self.norm1(h), None, None, rope)
            y, state, balance = self.moe(self.norm2(h), cell, state)
            return h + y, state, balance
        h = self.norm1(h + self.attn(h, memory, key_pe, None))
        y, state, balance = self.moe(h, cell, state)
        m = self.norm_moe(h + nnf.dropout(y, self.dropout, self.training))
        return self.norm2(h + m), state, balance


class Model(nn.Module):
    def __init__(self, config):
        super().__init__()
        c, router = config["model"], config["router"]
        self.lm = c["kind"] == "lm"
        C, V, self.L = c["hidden"], c["vocab"], c.get("span", 0)
        self.embed = nn.Embedding(V, C)
        self.D, self.P, self.theta = C // c["heads"], router["state"], c.get("rope_theta", 10000.0)
        if self.lm:
            self.key_pe = nn.Parameter(torch.randn(self.D, self.L))
        else:
            self.norm = nn.RMSNorm(C, eps=1e-5)
        if router["name"] == "rmoe":
            self.router_cell = nn.GRUCell(self.P, self.P)
        self.layers = nn.ModuleList(Block(c, router, self.lm) for _ in range(c["layers"]))
        self.head = nn.Linear(C, V, bias=self.lm)
        self.balance_weight = router.get("balance_weight", 0.01)

    def initial_memory(self, B):
        return [torch.zeros(B, self.L, self.embed.embedding_dim) for _ in self.layers] if self.lm else None

    def rope(self, T):
        angle = torch.arange(T)[:, None] * self.theta ** (-torch.arange(0, self.D, 2) / self.D)
        cos, sin = angle.cos().repeat(1, 2), angle.sin().repeat(1, 2)  # [T,D]

        def turn(x):
            a, b = x.chunk(2, -1)
            return x * cos + torch.cat([-b, a], -1) * sin

        return turn

    def forward(self, inputs, targets, memory):
        """Loss, load-balance loss, their weighted sum, and the memory for the next block."""
        B, T = inputs.shape
        h = self.embed(inputs)
        cell = getattr(self, "router_cell", None)
        state = h.new_zeros(B * T, self.P) if cell else None
        balance, next_memory = 0.0, []
        key_pe, rope = (self.key_pe, None) if self.lm else (None, self.rope(T))
        for i, layer in enumerate(self.layers):
            if self.lm:
                next_memory.append(torch.cat([memory[i], h.detach()], 1)[:, -self.L :])
            h, state, one = layer(h, memory[i] if self.lm else None, key_pe, rope, cell, state)
            balance = balance + one
        logits = self.head(h if self.lm else self.norm(h))
        loss = nnf.cross_entropy(logits.flatten(0, 1), targets.flatten())
        return loss, balance, loss + self.balance_weight * balance, next_memory
