"""Recurrent cells: one step from gates to the next state."""

from __future__ import annotations

from typing import Any

from core.autograd.dispatch import primitive
from core.backend import xp
from core.ops.exponential import sigmoid
from core.ops.parts import joined, slice_axis
from core.ops.trigonometric import tanh


def thirds(x: Any, n: int) -> list[Any]:
    """The last axis of `x` in `n` parts."""
    axis = len(x.shape) - 1
    size = x.shape[axis] // n
    return [slice_axis(x, axis, i * size, size) for i in range(n)]


# ---- LSTM: gates are input, forget, candidate, output ------------------------------------------


@primitive(label="ThnnFusedLstmCellBackward0")
def lstm_cell(gates, c):
    """The next hidden state and cell of an LSTM.

    Shape: (..., 4H), (..., H) -> (..., H), (..., H).
    """
    i, f, u, o = thirds(gates, 4)
    new = sigmoid(f) * c
    new += sigmoid(i) * xp(c).tanh(u)
    return sigmoid(o) * xp(c).tanh(new), new


lstm_cell.defvjp(
    gates=lambda g, gates, c: _lstm_gates(g[0], g[1], gates, c),
    c=lambda g, gates, c: _lstm_state(g[0], g[1], gates, c),
)


def _lstm_parts(h: Any, c_next: Any, gates: Any, c: Any) -> Any:
    """The activated gates, tanh of the new cell, and the whole gradient of the new cell."""
    i, f, u, o = thirds(gates, 4)
    i, f, u, o = sigmoid(i), sigmoid(f), tanh(u), sigmoid(o)
    t = tanh(f * c + i * u)
    return i, f, u, o, t, c_next + h * o * (1 - t * t)


def _lstm_gates(h: Any, c_next: Any, gates: Any, c: Any) -> Any:
    i, f, u, o, t, d = _lstm_parts(h, c_next, gates, c)
    return joined(
        len(c.shape) - 1,
        d * u * (i * (1 - i)),
        d * c * (f * (1 - f)),
        d * i * (1 - u * u),
        h * t * (o * (1 - o)),
    )


def _lstm_state(h: Any, c_next: Any, gates: Any, c: Any) -> Any:
    _, f, _, _, _, d = _lstm_parts(h, c_next, gates, c)
    return d * f


# ---- GRU: gates are reset, update, candidate ---------------------------------------------------


@primitive(label="ThnnFusedGruCellBackward0")
def gru_cell(a, b, h):
    """The next hidden state of a GRU, from the products of its input and of its state.

    Shape: (..., 3H), (..., 3H), (..., H) -> (..., H).
    """
    ar, az, an = thirds(a, 3)
    br, bz, bn = thirds(b, 3)
    n = xp(h).tanh(an + sigmoid(ar + br) * bn)
    return n + sigmoid(az + bz) * (h - n)


gru_cell.defvjp(
    a=lambda g, a, b, h: joined(len(h.shape) - 1, *_gru_parts(g, a, b, h)[:3]),
    b=lambda g, a, b, h: _gru_state_gates(*_gru_parts(g, a, b, h)),
    h=lambda g, a, b: g * sigmoid(thirds(a, 3)[1] + thirds(b, 3)[1]),
)


def _gru_parts(g: Any, a: Any, b: Any, h: Any) -> Any:
    """The gradients of the three gates, and the reset gate."""
    ar, az, an = thirds(a, 3)
    br, bz, bn = thirds(b, 3)
    r, z = sigmoid(ar + br), sigmoid(az + bz)
    n = tanh(an + r * bn)
    dn = g * (1 - z) * (1 - n * n)
    return dn * bn * (r * (1 - r)), g * (h - n) * (z * (1 - z)), dn, r


def _gru_state_gates(dr: Any, dz: Any, dn: Any, r: Any) -> Any:
    return joined(len(r.shape) - 1, dr, dz, dn * r)
