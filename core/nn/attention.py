"""Attention in several heads."""

from __future__ import annotations

from typing import Any

import core.nn.functional as F
from core.nn.attention_kernels import SDPBackend as SDPBackend
from core.nn.attention_kernels import sdpa_kernel as sdpa_kernel
from core.nn.init import constant_, xavier_normal_, xavier_uniform_
from core.nn.linear import Linear
from core.nn.module import Module
from core.nn.parameter import Parameter
from core.ops.creation import empty
from core.ops.shape import transpose


class NonDynamicallyQuantizableLinear(Linear):
    """A Linear; PyTorch gives the output projection of attention this name."""


class MultiheadAttention(Module):
    """Attention in several heads, each over a part of the projected width.

    Shape: (L, N, embed_dim), (S, N, kdim), (S, N, vdim) -> (L, N, embed_dim) and (N, L, S).
    Source: Vaswani et al. (2017).
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if embed_dim <= 0 or num_heads <= 0:
            raise ValueError(
                "embed_dim and num_heads must be greater than 0, got"
                f" embed_dim={embed_dim} and num_heads={num_heads} instead"
            )
        if embed_dim % num_heads:
            raise AssertionError("embed_dim must be divisible by num_heads")
        self.embed_dim = embed_dim
        self.kdim = embed_dim if kdim is None else kdim
        self.vdim = embed_dim if vdim is None else vdim
        self._qkv_same_embed_dim = self.kdim == embed_dim and self.vdim == embed_dim
        self.num_heads = num_heads
        self.dropout = dropout
        self.batch_first = batch_first
        self.head_dim = embed_dim // num_heads
        self.add_zero_attn = add_zero_attn
        self._make(bias, add_bias_kv, {"device": device, "dtype": dtype})
        self._reset_parameters()

    def _make(self, bias: bool, add_bias_kv: bool, where: dict[str, Any]) -> None:
        n = self.embed_dim
        one = self._qkv_same_embed_dim
        shapes: dict[str, tuple[int, ...] | None] = {
            "in_proj_weight": (3 * n, n) if one else None,
            "q_proj_weight": None if one else (n, n),
            "k_proj_weight": None if one else (n, self.kdim),
            "v_proj_weight": None if one else (n, self.vdim),
            "in_proj_bias": (3 * n,) if bias else None,
        }
        late = {name: (1, 1, n) if add_bias_kv else None for name in ("bias_k", "bias_v")}
        for name, shape in shapes.items():
            self.register_parameter(name, Parameter(empty(shape, **where)) if shape else None)
        self.out_proj = NonDynamicallyQuantizableLinear(n, n, bias=bias, **where)
        for name, shape in late.items():
            self.register_parameter(name, Parameter(empty(shape, **where)) if shape else None)

    def _reset_parameters(self) -> None:
        for name in ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight"):
            if getattr(self, name) is not None:
                xavier_uniform_(getattr(self, name))
        if self.in_proj_bias is not None:
            constant_(self.in_proj_bias, 0.0)
            constant_(self.out_proj.bias, 0.0)
        if self.bias_k is not None:
            xavier_normal_(self.bias_k)
            xavier_normal_(self.bias_v)

    def forward(
        self,
        query: Any,
        key: Any,
        value: Any,
        key_padding_mask: Any = None,
        need_weights: bool = True,
        attn_mask: Any = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Any, Any]:
        """The attended values, and the weights (None unless `need_weights`)."""
        swap = self.batch_first and len(query.shape) == 3
        if swap:
            query, key, value = _swapped(query, key, value)
        if is_causal and attn_mask is None:
            raise RuntimeError("Need attn_mask if specifying the is_causal hint.")
        out, weights = F.multi_head_attention_forward(
            query, key, value, self.embed_dim, self.num_heads, self.in_proj_weight,
            self.in_proj_bias, self.bias_k, self.bias_v, self.add_zero_attn, self.dropout,
            self.out_proj.weight, self.out_proj.bias, training=self.training,
            key_padding_mask=key_padding_mask,
            need_weights=need_weights,
            attn_mask=attn_mask,
            use_separate_proj_weight=not self._qkv_same_embed_dim,
            q_proj_weight=self.q_proj_weight,
            k_proj_weight=self.k_proj_weight,
            v_proj_weight=self.v_proj_weight,
            average_attn_weights=average_attn_weights,
            is_causal=is_causal,
        )  # fmt: skip
        return transpose(out, 0, 1) if swap else out, weights


def _swapped(query: Any, key: Any, value: Any) -> tuple[Any, Any, Any]:
    """The three with batch and time swapped; what was one tensor stays one."""
    q = transpose(query, 0, 1)
    k = q if key is query else transpose(key, 0, 1)
    v = k if value is key else transpose(value, 0, 1)
    return q, k, v
