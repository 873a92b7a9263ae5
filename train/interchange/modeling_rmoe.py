"""RMoE (Layerwise Recurrent Router for Mixture-of-Experts, ICLR 2025) for Transformers; written by `rmoe export`.

A Llama whose feed-forward blocks are mixtures of experts. In layer i, for every token alone:

    h_i = cell(weight1_i x_i, h_{i-1}),  h_0 = 0;  logits_i = weight2_i h_i;  the top K of softmax(logits_i), sum 1.

The state h runs over layers, never over time, so a cache of keys and values is all that generation needs. Load it with
AutoModelForCausalLM.from_pretrained(FOLDER, trust_remote_code=True).
"""

import torch
from torch import nn
from torch.nn.functional import linear, silu
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.models.llama.modeling_llama import LlamaDecoderLayer, LlamaModel


class RmoeConfig(LlamaConfig):
    model_type = "llama_moe_rnn"

    num_local_experts: int = 8
    num_experts_per_tok: int = 2
    router_aux_loss_coef: float = 0.001
    output_router_logits: bool = False
    moe_num_layers: int = 32
    moe_expert_intermediate_size: int | None = None
    add_moe_share_expert: bool = False
    moe_share_expert_intermediate_size: int | None = None
    moe_weight: float = 0.5
    share_weight: float = 0.5
    add_moe_bias: bool = False
    moe_router_type: str = "gru"
    moe_router_rnn_hidden_size: int = 256


class RouterCell(nn.Module):
    """A GRU or tanh RNN cell with a matrix and a bias of its own for each gate and side (i: input, h: state)."""

    def __init__(self, config):
        super().__init__()
        self.gru, P = config.moe_router_type == "gru", config.moe_router_rnn_hidden_size
        self.size = P
        for gate in "rzn" if self.gru else "n":
            for side in "ih":
                self.register_parameter(f"weight_{side}{gate}", nn.Parameter(torch.zeros(P, P)))
                self.register_parameter(f"bias_{side}{gate}", nn.Parameter(torch.zeros(P)))

    def part(self, side, gate, x):
        return linear(x, getattr(self, f"weight_{side}{gate}"), getattr(self, f"bias_{side}{gate}"))

    def forward(self, x, h):
        if not self.gru:
            return torch.tanh(self.part("i", "n", x) + self.part("h", "n", h))
        r = torch.sigmoid(self.part("i", "r", x) + self.part("h", "r", h))
        z = torch.sigmoid(self.part("i", "z", x) + self.part("h", "z", h))
        n = torch.tanh(self.part("i", "n", x) + r * self.part("h", "n", h))
        return (1 - z) * n + z * h


class RouterState:
    """What one forward pass hands from layer to layer."""

    def __init__(self, cell):
        self.cell, self.h = cell, None

    def step(self, x):
        h = x.new_zeros(x.shape[0], self.cell.size) if self.h is None else self.h
        self.h = self.cell(x, h)
        return self.h


class Expert(nn.Module):
    def __init__(self, C, F):
        super().__init__()
        self.w1, self.w3 = nn.Linear(C, F, bias=False), nn.Linear(C, F, bias=False)
        self.w2 = nn.Linear(F, C, bias=False)

    def forward(self, x):
        return self.w2(silu(self.w1(x)) * self.w3(x))


class SharedExpert(nn.Module):
    """The same, with the names of a Llama's feed-forward block."""

    def __init__(self, C, F):
        super().__init__()
        self.gate_proj, self.up_proj = nn.Linear(C, F, bias=False), nn.Linear(C, F, bias=False)
        self.down_proj = nn.Linear(F, C, bias=False)

    def forward(self, x):
        return self.down_proj(silu(self.gate_proj(x)) * self.up_proj(x))


class SparseMoe(nn.Module):
    def __init__(self, config):
        super().__init__()
        C, E, P = config.hidden_size, config.num_local_experts, config.moe_router_rnn_hidden_size
        F = config.moe_expert_intermediate_size or config.intermediate_size
        self.top_k, self.recurrent = config.num_experts_per_tok, config.moe_router_type in ("gru", "rnn")
        if self.recurrent:
            self.weight1, self.weight2 = nn.Parameter(torch.zeros(P, C)), nn.Parameter(torch.zeros(E, P))
        else:
            self.gate = nn.Linear(C, E, bias=False)
        self.experts = nn.ModuleList(Expert(C, F) for _ in range(E))

    def forward(self, hidden_states, state):
        x = hidden_states.flatten(0, -2)  # [N,C]
        logits = linear(state.step(linear(x, self.weight1)), self.weight2) if self.recurrent else self.gate(x)
        weights, chosen = logits.softmax(-1, dtype=torch.float).topk(self.top_k)
        weights = (weights / weights.sum(-1, keepdim=True)).to(x.dtype)  # [N,K]
        y = torch.zeros_like(x)
        for e, expert in enumerate(self.experts):
            row, k = torch.where(chosen == e)
            y.index_add_(0, row, expert(x[row]) * weights[row, k, None])
        return y.view_as(hidden_states)


class RmoeDecoderLayer(LlamaDecoderLayer):
    def __init__(self, config, layer_idx):
        super().__init__(config, layer_idx)
        self.moe_weight, self.share_weight = config.moe_weight, config.share_weight
        self.block_sparse_moe = self.mlp_share = None
        if layer_idx < config.num_hidden_layers - config.moe_num_layers:
            return  # the first layers are dense
        self.mlp = None
        self.block_sparse_moe = SparseMoe(config)
        if config.add_moe_share_expert:
            width = config.moe_share_expert_intermediate_size or config.intermediate_size
            self.mlp_share = SharedExpert(config.hidden_size, width)

    def feed_forward(self, x, state):
        if self.mlp is not None:
            return self.mlp(x)
        y = self.block_sparse_moe(x, state)
        return y if self.mlp_share is None else self.moe_weight * y + self.share_weight * self.mlp_share(x)

    def forward(self, hidden_states, router_state=None, **kwargs):
        attended, _ = self.self_attn(hidden_states=self.input_layernorm(hidden_states), **kwargs)
        hidden_states = hidden_states + attended
        return hidden_states + self.feed_forward(self.post_attention_layernorm(hidden_states), router_state)


class RmoeModel(LlamaModel):
    config_class = RmoeConfig
    supports_gradient_checkpointing = False  # a layer run again would step the router's state again

    def __init__(self, config):
        super().__init__(config)
        self.layers = nn.ModuleList(RmoeDecoderLayer(config, i) for i in range(config.num_hidden_layers))
        self.rnn_router = RouterCell(config) if config.moe_router_type in ("gru", "rnn") else None
        self.post_init()

    def forward(self, *args, **kwargs):
        return super().forward(*args, router_state=RouterState(self.rnn_router), **kwargs)


class RmoeForCausalLM(LlamaForCausalLM):
    config_class = RmoeConfig
    supports_gradient_checkpointing = False

    def __init__(self, config):
        super().__init__(config)
        self.model = RmoeModel(config)
        self.post_init()
