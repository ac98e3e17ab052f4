"""Attention."""

from __future__ import annotations

import math
from typing import Any

from core.autograd.place import where_it_lies
from core.autograd.value import wrap
from core.backend import xp
from core.nn.functional.masking import dropout
from core.nn.functional.products import linear
from core.ops.attention import attention, attention_weights, repeated_heads
from core.ops.choice import choose
from core.ops.join import cat
from core.ops.linalg import matmul
from core.ops.reduce import mean
from core.ops.shape import reshape_array, transpose

__all__ = "multi_head_attention_forward scaled_dot_product_attention".split()


def scaled_dot_product_attention(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Any:
    """softmax(query @ key.T * scale + mask) @ value; a bool mask is True where a key takes part.

    Shape: (..., L, E), (..., S, E), (..., S, F) -> (..., L, F).
    Source: Vaswani et al. (2017).
    """
    if is_causal and attn_mask is not None:
        raise RuntimeError(
            "scaled_dot_product_attention: Explicit attn_mask should not be set when is_causal=True"
        )
    sizes = [x.array.shape for x in (query, key, value)]
    dims = [len(size) for size in sizes]
    if min(dims) < 2:
        raise RuntimeError(
            "Expected query, key, and value to all be at least 2 dimensional, but got query.dim:"
            f" {dims[0]} key.dim: {dims[1]} and value.dim: {dims[2]} instead."
        )
    if sizes[0][-1] != sizes[1][-1] or sizes[1][-2] != sizes[2][-2]:
        raise RuntimeError(
            "scaled_dot_product_attention: expected query and key of one width, and as many values"
            f" as keys, but got {list(sizes[0])}, {list(sizes[1])} and {list(sizes[2])}"
        )
    if enable_gqa:
        heads = query.shape[-3]
        key = repeated_heads(key, heads // key.shape[-3])
        value = repeated_heads(value, heads // value.shape[-3])
    return attention(query, key, value, attn_mask, dropout_p, is_causal, scale)


@where_it_lies
def float_mask(mask: Any, dtype: Any, name: str) -> Any:
    """A mask to be added: minus infinity where a bool mask is True.

    Raises: AssertionError for a mask of whole numbers.
    """
    if mask is None:
        return None
    kind = mask.array.dtype.kind
    if kind not in "bfV":
        raise AssertionError(f"only bool and floating types of {name} are supported")
    if kind != "b":
        return mask
    zero = wrap(xp(mask.array).zeros((), dtype.numpy))
    return choose(mask, -math.inf, zero)


def _projected(query: Any, key: Any, value: Any, weights: Any, bias: Any) -> list[Any]:
    """The inputs times their weights: one matrix in three parts, or three matrices."""
    width = query.shape[-1]
    if not isinstance(weights, tuple):
        if query is key and key is value:
            both = linear(query, weights, bias)
            return [both[..., i * width : (i + 1) * width] for i in range(3)]
        weights = tuple(weights[i * width : (i + 1) * width] for i in range(3))
    each = [None] * 3 if bias is None else [bias[i * width : (i + 1) * width] for i in range(3)]
    xs = (query, key, value)
    return [linear(x, w, b) for x, w, b in zip(xs, weights, each, strict=True)]


def _heads(x: Any, heads: int) -> Any:
    """(L, N, E) -> (N, heads, L, E / heads)."""
    length, batch, width = x.shape
    return transpose(reshape_array(x, (length, batch * heads, width // heads)), 0, 1).reshape(
        batch, heads, length, width // heads
    )


def _with_row(x: Any, row: Any) -> Any:
    """(L, N, E) with one more step, the same for each sample."""
    return cat([x, row.expand(1, x.shape[1], x.shape[2])], 0)


@where_it_lies
def _widened(mask: Any, by: int) -> Any:
    if mask is None or not by:
        return mask
    zeros = xp(mask.array).zeros((*mask.array.shape[:-1], by), mask.array.dtype)
    return wrap(xp(mask.array).concatenate([mask.array, zeros], -1))


def _merged_mask(attn: Any, padding: Any, batch: int, heads: int) -> Any:
    """One mask (N or 1, heads or 1, L or 1, S) to be added."""
    if attn is not None:
        shape = tuple(attn.shape)
        if len(shape) == 3:
            attn = reshape_array(attn, (batch, heads, *shape[1:]))
        else:
            attn = reshape_array(attn, (1, 1, *shape))
    if padding is None:
        return attn
    padding = reshape_array(padding, (batch, 1, 1, padding.shape[-1]))
    return padding if attn is None else attn + padding


def check_heads(query: Any, embed_dim: int, heads: int) -> None:
    """Raise unless the query's width is the layer's, which the heads must divide."""
    if query.shape[-1] != embed_dim:
        raise AssertionError(
            f"was expecting embedding dimension of {embed_dim}, but got {query.shape[-1]}"
        )
    if embed_dim % heads:
        raise AssertionError(f"embed_dim {embed_dim} not divisible by num_heads {heads}")


def multi_head_attention_forward(
    query: Any, key: Any, value: Any, embed_dim_to_check: int, num_heads: int,
    in_proj_weight: Any, in_proj_bias: Any, bias_k: Any, bias_v: Any, add_zero_attn: bool,
    dropout_p: float, out_proj_weight: Any, out_proj_bias: Any, training: bool = True,
    key_padding_mask: Any = None, need_weights: bool = True, attn_mask: Any = None,
    use_separate_proj_weight: bool = False, q_proj_weight: Any = None, k_proj_weight: Any = None,
    v_proj_weight: Any = None, static_k: Any = None, static_v: Any = None,
    average_attn_weights: bool = True, is_causal: bool = False,
) -> tuple[Any, Any]:  # fmt: skip
    """Attention in several heads, each over a part of the projected width; and its weights.

    Shape: (L, N, E), (S, N, *), (S, N, *) -> (L, N, E) and (N, L, S); the batch may be left out.
    """
    if static_k is not None or static_v is not None:
        raise NotImplementedError("static_k and static_v are not supported")
    batched = len(query.shape) == 3
    _check_shapes(query, key, value, key_padding_mask, attn_mask)
    _check_mask(query, key, attn_mask, num_heads)
    _check_pair(key, value, key_padding_mask, use_separate_proj_weight)
    query, key, value = _with_batch(query, key, value, batched)
    check_heads(query, embed_dim_to_check, num_heads)
    apart = (q_proj_weight, k_proj_weight, v_proj_weight) if use_separate_proj_weight else None
    weights = _given(apart, in_proj_weight, bias_k, bias_v)
    q, k, v = _projected(query, key, value, weights, in_proj_bias)
    more = 0
    if bias_k is not None:
        k, v, more = _with_row(k, bias_k), _with_row(v, bias_v), 1
    (length, batch), (q, k, v) = q.shape[:2], (_heads(x, num_heads) for x in (q, k, v))
    if add_zero_attn:
        k, v, more = _zero_step(k), _zero_step(v), more + 1
    mask = _widened(float_mask(attn_mask, q.dtype, "attn_mask"), more)
    mask = _merged_mask(mask, _padding(key_padding_mask, batched, q.dtype, more), batch, num_heads)
    out, weights = _attend(q, k, v, mask, dropout_p * training, need_weights, average_attn_weights)
    rows = reshape_array(out.permute(2, 0, 1, 3), (length * batch, num_heads * v.shape[-1]))
    rows = linear(rows, out_proj_weight, out_proj_bias)
    out = reshape_array(rows, (length, batch, rows.shape[-1]))
    if batched:
        return out, weights
    return out.squeeze(1), None if weights is None else weights.squeeze(0)


def _check_shapes(query: Any, key: Any, value: Any, padding: Any, mask: Any) -> None:
    """Raise AssertionError unless all have the numbers of dims that go with the query's."""
    dims, ks, vs = len(query.shape), len(key.shape), len(value.shape)
    if dims not in (2, 3):
        raise AssertionError(
            f"query should be unbatched 2D or batched 3D tensor but received {dims}-D query tensor"
        )
    kind = f"For {'batched (3-D)' if dims == 3 else 'unbatched (2-D)'} `query`"
    if (ks, vs) != (dims, dims):
        raise AssertionError(
            f"{kind}, expected `key` and `value` to be {dims}-D but found {ks}-D and {vs}-D tensors"
            " respectively"
        )
    if padding is not None and len(padding.shape) != dims - 1:
        raise AssertionError(
            f"{kind}, expected `key_padding_mask` to be `None` or {dims - 1}-D but found"
            f" {len(padding.shape)}-D tensor instead"
        )
    if mask is not None and len(mask.shape) not in (2, 3):
        raise AssertionError(
            f"{kind}, expected `attn_mask` to be `None`, 2-D or 3-D but found"
            f" {len(mask.shape)}-D tensor instead"
        )


def _check_mask(query: Any, key: Any, mask: Any, heads: int) -> None:
    """Raise unless there is one mark for each query and key, also of each head.

    AssertionError where there is no batch and a mask for each head, RuntimeError elsewhere.
    """
    pair = (query.shape[0], key.shape[0])
    if mask is not None:
        wanted = pair if len(mask.shape) == 2 else (query.shape[1:-1].numel() * heads, *pair)
        if tuple(mask.shape) != wanted:
            apart = len(query.shape) == 2 and len(mask.shape) == 3
            raise (AssertionError if apart else RuntimeError)(
                f"The shape of the {len(mask.shape)}D attn_mask is {mask.shape}, but should be"
                f" {wanted}."
            )


def _check_pair(key: Any, value: Any, padding: Any, separate: bool) -> None:
    """Raise AssertionError unless there is a value, and a mark of the padding, for each key."""
    parts = slice(-1) if separate else slice(None)
    if tuple(key.shape)[parts] != tuple(value.shape)[parts]:
        raise AssertionError(f"key shape {key.shape} does not match value shape {value.shape}")
    if padding is not None and tuple(padding.shape) != tuple(key.shape)[-2::-1]:
        raise AssertionError(
            f"Expected key_padding_mask of shape {tuple(key.shape)[-2::-1]}, but got"
            f" {tuple(padding.shape)}"
        )


def _given(apart: Any, whole: Any, bias_k: Any, bias_v: Any) -> Any:
    """The weights of projections: three apart, or the whole of them.

    Raises: AssertionError where one is missing, or one of the two biases.
    """
    if apart is None and whole is None:
        raise AssertionError("use_separate_proj_weight is False but in_proj_weight is None")
    if apart is not None and any(w is None for w in apart):
        raise AssertionError("use_separate_proj_weight is True but a weight is None")
    if (bias_k is None) != (bias_v is None):
        raise AssertionError("bias_k and bias_v must either both be None or neither be None")
    return apart or whole


def _with_batch(query: Any, key: Any, value: Any, batched: bool) -> tuple[Any, Any, Any]:
    """The three with a batch dim; what was one tensor stays one."""
    if batched:
        return query, key, value
    q = query.unsqueeze(1)
    if query is key and key is value:
        return q, q, q
    return q, key.unsqueeze(1), value.unsqueeze(1)


@where_it_lies
def _zero_step(x: Any) -> Any:
    zeros = xp(x.array).zeros((*x.shape[:2], 1, x.shape[3]), x.array.dtype)
    return cat([x, wrap(zeros)], 2)


def _padding(mask: Any, batched: bool, dtype: Any, more: int) -> Any:
    if mask is not None and not batched:
        mask = mask.unsqueeze(0)
    return _widened(float_mask(mask, dtype, "key_padding_mask"), more)


def _attend(
    q: Any, k: Any, v: Any, mask: Any, p: float, need_weights: bool, average: bool
) -> tuple[Any, Any]:
    if not need_weights:
        return attention(q, k, v, mask, p, False, None), None
    weights = attention_weights(q, k, mask, False, None)
    weights = dropout(weights, p) if p else weights
    return matmul(weights, v), mean(weights, 1) if average else weights
