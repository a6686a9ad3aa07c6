"""The Llama architecture in plain torch: RMSNorm, rotary positions, grouped-query attention, SwiGLU.

Rotary positions turn neighbouring pairs (0,1), (2,3), …, as GGUF's llama architecture does, so that the query and key
weights go into the file as they are.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn


@dataclass
class Config:
    vocab: int = 2048
    layers: int = 8
    width: int = 256
    heads: int = 8
    kv_heads: int = 4
    ffn: int = 512
    context: int = 1024
    rope_theta: float = 10000.0
    eps: float = 1e-5

    @property
    def head_dim(self):
        return self.width // self.heads


def rotations(config):
    """cos and sin, each [context, head_dim / 2]."""
    half = config.head_dim // 2
    frequencies = config.rope_theta ** (-torch.arange(half).float() / half)
    angles = torch.arange(config.context).float()[:, None] * frequencies
    return angles.cos(), angles.sin()


def rotate(x, cos, sin):
    """x: [batch, heads, tokens, head_dim]."""
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), -1).flatten(-2).to(x.dtype)


def attention(q, k, v):
    """Causal attention as two plain products: on processors without a tuned f32 BLAS this is much faster in bf16 than
    torch's fused one."""
    n = q.shape[2]
    future = torch.full((n, n), float("-inf"), dtype=q.dtype).triu(1)
    scores = q @ k.mT * q.shape[-1] ** -0.5 + future
    return scores.softmax(-1).to(v.dtype) @ v


class Block(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c = c
        self.attn_norm = nn.RMSNorm(c.width, c.eps)
        self.attn_q = nn.Linear(c.width, c.heads * c.head_dim, bias=False)
        self.attn_k = nn.Linear(c.width, c.kv_heads * c.head_dim, bias=False)
        self.attn_v = nn.Linear(c.width, c.kv_heads * c.head_dim, bias=False)
        self.attn_output = nn.Linear(c.heads * c.head_dim, c.width, bias=False)
        self.ffn_norm = nn.RMSNorm(c.width, c.eps)
        self.ffn_gate = nn.Linear(c.width, c.ffn, bias=False)
        self.ffn_up = nn.Linear(c.width, c.ffn, bias=False)
        self.ffn_down = nn.Linear(c.ffn, c.width, bias=False)

    def heads_of(self, x, count):
        return x.view(x.shape[0], x.shape[1], count, self.c.head_dim).transpose(1, 2)

    def forward(self, x, cos, sin):
        c, h = self.c, self.attn_norm(x)
        q = rotate(self.heads_of(self.attn_q(h), c.heads), cos, sin)
        k = rotate(self.heads_of(self.attn_k(h), c.kv_heads), cos, sin)
        v = self.heads_of(self.attn_v(h), c.kv_heads)
        group = c.heads // c.kv_heads
        k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
        a = attention(q, k, v)
        x = x + self.attn_output(a.transpose(1, 2).flatten(2))
        h = self.ffn_norm(x)
        return x + self.ffn_down(F.silu(self.ffn_gate(h)) * self.ffn_up(h))


class Llama(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c = c
        self.token_embd = nn.Embedding(c.vocab, c.width)
        self.blk = nn.ModuleList(Block(c) for _ in range(c.layers))
        self.output_norm = nn.RMSNorm(c.width, c.eps)
        self.output = nn.Linear(c.width, c.vocab, bias=False)
        cos, sin = rotations(c)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)
        self.reset()

    @torch.no_grad()
    def reset(self):
        """Token vectors of unit size, and blocks and output that add nothing yet: so each position starts as its own token,
        which is what copying a name or a word of the question needs."""
        for name, p in self.named_parameters():
            if name == "token_embd.weight":
                p.normal_()
            elif name.endswith(("attn_output.weight", "ffn_down.weight")) or name == "output.weight":
                p.zero_()
            elif p.dim() == 2:
                p.normal_(std=self.c.width ** -0.5)

    def hidden(self, tokens):
        """tokens: [batch, n] → [batch, n, width], normalised for the output matrix."""
        n = tokens.shape[1]
        x = self.token_embd(tokens)
        for block in self.blk:
            x = block(x, self.cos[:n], self.sin[:n])
        return self.output_norm(x)

    def logits(self, hidden):
        return self.output(hidden)
