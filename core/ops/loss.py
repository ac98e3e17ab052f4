"""What losses are made of: the negative log-likelihood of a softmax, and squared differences."""

from __future__ import annotations

from typing import Any

from core.autograd.dispatch import primitive
from core.autograd.product import total
from core.autograd.quick import binary, leading, unary
from core.backend import packed, xp
from core.ops.promotion import accumulates_in, promote
from core.ops.shape import broadcast_array, reshape_array


def _shifted(x: Any, axis: int) -> tuple[Any, Any, Any]:
    """`x` minus its maximum, the exponentials, and their sum; half types widened."""
    x = x.astype(accumulates_in(x.dtype), copy=False)
    if not x.shape[axis]:
        return x.copy(), x.copy(), x.sum(axis, keepdims=True)
    peak = x.max(axis, keepdims=True)
    shifted = x - xp(x).where(xp(x).isinf(peak), peak.dtype.type(0), peak)
    powers = xp(x).exp(shifted)
    return shifted, powers, powers.sum(axis, keepdims=True)


@leading
@primitive
def log_softmax_axis(x, axis):
    """The logarithm of softmax along an axis."""
    shifted, _, total = _shifted(x, axis)
    shifted -= xp(x).log(total)
    return packed(shifted.astype(x.dtype, copy=False))


log_softmax_axis.op.label = "LogSoftmaxBackward0"
log_softmax_axis.defvjp(
    x=lambda g, out, axis: g - exp_of(out) * total(g, axis),
    axis=None,
)


@unary
@primitive(label="ExpBackward0")
def exp_of(x):
    """Elementwise exponential."""
    return xp(x).exp(x)


exp_of.defvjp(x=lambda g, out: g * out)


@leading
@primitive(label="SoftmaxBackward0")
def softmax_axis(x, axis):
    """Exponentials along an axis, divided by their sum."""
    _, powers, total = _shifted(x, axis)
    powers /= total
    return packed(powers.astype(x.dtype, copy=False))


softmax_axis.defvjp(
    x=lambda g, out, axis: softmax_pull(g, out, axis),
    axis=None,
)


def softmax_pull(g: Any, out: Any, axis: int) -> Any:
    """The gradient that `g` gives the argument of a softmax with result `out`."""
    product = g * out
    return product - out * total(product, axis)


@leading
@primitive(label="NllLossBackward0")
def softmax_nll(x, target, each, scale):
    """Minus the log of softmax(x) at each row's target, times `each`, summed, times `scale`.

    Shape: (N, C), (N,), (N,) or None, () -> ().
    """
    shifted, _, total = _shifted(x, 1)
    rows = xp(x).arange(x.shape[0])
    loss = xp(x).log(total[:, 0]) - shifted[rows, target]
    if each is not None:
        loss = xp(x).where(each != 0, loss * each, loss.dtype.type(0))
    scale = loss.dtype.type(scale) if isinstance(scale, float) else scale
    return (loss.sum() * scale).astype(x.dtype)


softmax_nll.defvjp(
    x=lambda g, x, target, each, scale: (
        residual(x, target) * (g * scale if each is None else column(shares(g, scale, each)))
    ),
    target=None,
    each=None,
    scale=None,
)


@primitive
def shares(g, scale, each):
    """G * scale * each; zero for what does not count, also where nothing does and scale is inf."""
    return xp(each).where(each != 0, g * scale * each, each.dtype.type(0))


shares.defvjp(g=lambda h, scale, each: shares(h, scale, each), scale=None, each=None)


@leading
@primitive
def residual(x, target):
    """softmax(x), minus one at each row's target."""
    out = softmax_axis(x, 1)
    out[xp(x).arange(x.shape[0]), target] -= x.dtype.type(1)
    return out


residual.defvjp(
    x=lambda g, x: softmax_pull(g, softmax_axis(x, 1), 1),
    target=None,
)


def column(x: Any) -> Any:
    """A vector as a column; a number as it is."""
    return reshape_array(x, (x.shape[0], 1)) if len(x.shape) else x


@leading
@primitive(label="NllLossBackward0")
def pick_rows(x, target):
    """The element of each row at the row's target.

    Shape: (N, C), (N,) -> (N,).
    """
    return x[xp(x).arange(x.shape[0]), target]


@leading
@primitive
def place_rows(g, target, width):
    """Rows of zeros with each element of `g` at its row's target."""
    out = xp(g).zeros((g.shape[0], width), g.dtype)
    out[xp(g).arange(g.shape[0]), target] = g
    return out


pick_rows.defvjp(
    x=lambda g, target, x_shape: place_rows(g, target, x_shape[1]),
    target=None,
)
place_rows.defvjp(g=lambda h, target: pick_rows(h, target), target=None, width=None)


@leading
@primitive(label="NllLossBackward0")
def picked_total(x, target, count):
    """Minus the sum of each row's element at the row's target, divided by `count`.

    Shape: (N, C), (N,), () -> ().
    """
    picked = x[xp(x).arange(x.shape[0]), target]
    wide = accumulates_in(x.dtype)
    return (picked.sum(dtype=wide) / wide.type(-count)).astype(x.dtype)


picked_total.defvjp(
    x=lambda g, target, count, x_shape: place_rows(
        broadcast_array(g / -count, x_shape[:1]), target, x_shape[1]
    ),
    target=None,
    count=None,
)


@binary
@primitive(casts=promote, label="MseLossBackward0")
def squared_difference(a, b):
    """Elementwise (a - b)**2."""
    d = a - b
    return d * d


squared_difference.defvjp(
    a=lambda g, a, b: g * (a - b) * 2,
    b=lambda g, a, b: g * (b - a) * 2,
)
