"""Reductions on the CPU: short rows as products with ones, extremes where argmax finds them.

For a few numbers NumPy's add.reduce takes 0.8 us, a product 0.3. Over more than SHORT numbers the
product would round worse than add.reduce, which adds pairwise.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy
from numpy import ndarray

from core.ops import extreme, gather, loss, reduce, scan, shape, sort, statistics

SHORT = 64
_ONES = {char: tuple(numpy.ones(n, char) for n in range(SHORT + 1)) for char in "fd"}
# Of any type: their stubs do not know that keepdims may stand fifth, which is quicker than by name.
_add_up: Any = numpy.add.reduce
_multiply_up: Any = numpy.multiply.reduce
_peak: Any = numpy.maximum.reduce
_empty, _int64 = numpy.empty, numpy.dtype("int64")
_any, _all = numpy.logical_or.reduce, numpy.logical_and.reduce


def _axis(x: Any, dim: Any) -> int:
    """The axis that `dim` means, where it is one and `x` has rows in memory; else -1."""
    n = x.ndim
    return dim % n if type(dim) is int and -n <= dim < n and x.flags.c_contiguous else -1


# ---- sums --------------------------------------------------------------------------------------


def _total(x: Any) -> Any:
    """The sum of all elements."""
    n = x.size
    return x.ravel().dot(_ONES[x.dtype.char][n]) if n <= SHORT else _add_up(x, None)


def _totals(x: Any, axis: int, keepdim: bool) -> Any:
    """The sums along one axis."""
    n = x.shape[axis]
    if x.ndim != 2 or axis != 1 or n > SHORT:
        return _add_up(x, axis, None, None, keepdim)
    out = x.dot(_ONES[x.dtype.char][n])
    return out.reshape(-1, 1) if keepdim else out


def _sum_of_all(x):
    n = x.size
    ones = _ONES.get(x.dtype.char)
    if ones is not None and n <= SHORT:
        out = _empty((), x.dtype)
        x.ravel().dot(ones[n], out)  # what it returns is no array
        return out
    return None


def _sum(x, dim, keepdim, dtype):
    if dtype is None and x.dtype.char in "fd":
        if dim is None and not keepdim:
            return _total(x)
        axis = _axis(x, dim)
        if axis >= 0:
            return _totals(x, axis, keepdim)
    return reduce.sum.op.forward(x, dim, keepdim, dtype)


def _mean(x, dim, keepdim, dtype):
    if dtype is None and x.dtype.char in "fd" and x.size:
        if dim is None and not keepdim:
            return _total(x) / x.size
        axis = _axis(x, dim)
        if axis >= 0:
            return _totals(x, axis, keepdim) / x.shape[axis]
    return reduce.mean.op.forward(x, dim, keepdim, dtype)


def _prod(x, dim, keepdim, dtype):
    if dtype is None and x.dtype.char in "fd":
        if dim is None:
            return _multiply_up(x, None, None, None, keepdim)
        axis = _axis(x, dim)
        if axis >= 0:
            return _multiply_up(x, axis, None, None, keepdim)
    return reduce.prod.op.forward(x, dim, keepdim, dtype)


def _variance(x, dim, correction, keepdim):
    axis = 0 if dim is None else _axis(x, dim)
    if x.dtype.char not in "fd" or axis < 0 or (dim is None and keepdim):
        return statistics.variance.op.forward(x, dim, correction, keepdim)
    x = x.reshape(-1) if dim is None else x
    n = x.shape[axis]
    if n <= correction or not n:
        return statistics.variance.op.forward(x, axis, correction, keepdim)
    apart = x - _totals(x, axis, True) / n
    if x.ndim == 1 and not keepdim and n <= SHORT:
        return apart.dot(apart) / (n - correction)
    apart *= apart
    return _totals(apart, axis, keepdim) / x.dtype.type(n - correction)


def _deviation(x, dim, correction, keepdim):
    return numpy.sqrt(_variance(x, dim, correction, keepdim), dtype=x.dtype)


def _cumsum(x, dim, dtype):
    axis = _axis(x, dim)
    if axis < 0 or dtype is not None or x.dtype.char not in "fdl":
        return scan.cumsum.op.forward(x, dim, dtype)
    return numpy.add.accumulate(x, axis)


# ---- extremes and truth ------------------------------------------------------------------------


def _largest(x):
    return x.ravel()[x.argmax()] if x.size else extreme.largest_of_all.op.forward(x)


def _smallest(x):
    return x.ravel()[x.argmin()] if x.size else extreme.smallest_of_all.op.forward(x)


def _extreme_along(op: Any, ufunc: Any, place: Any) -> Any:
    best = ufunc.reduce

    def found(x, dim, keepdim):
        axis = _axis(x, dim)
        if axis < 0 or not x.size or x.dtype.char not in "fdil":
            return op.op.forward(x, dim, keepdim)
        out, index = best(x, axis, None, None, keepdim), place(x, axis)
        return numpy.asarray(out), index.reshape(out.shape) if keepdim else index

    return found


def _extreme(op: Any, ufunc: Any) -> Any:
    best = ufunc.reduce

    def found(x, dim, keepdim):
        axis = _axis(x, dim)
        if axis < 0 or not x.shape[axis] or x.dtype.char not in "fdil":
            return op.op.forward(x, dim, keepdim)
        return best(x, axis, None, None, keepdim)

    return found


def _place(op: Any, place: Any) -> Any:
    def found(x, dim, keepdim):
        if not x.size or keepdim or x.dtype.char not in "fdil":
            return op.op.forward(x, dim, keepdim)
        if dim is None:
            return place(x)
        return op.op.forward(x, dim, keepdim) if _axis(x, dim) < 0 else place(x, _axis(x, dim))

    return found


def _truth(op: Any, combine: Any, every: bool) -> Any:
    def found(x, dim, keepdim):
        if dim is None and not keepdim and x.size <= SHORT and x.dtype.char != "B":
            n = numpy.count_nonzero(x)
            return n == x.size if every else n > 0
        axis = _axis(x, dim)
        if axis < 0 or x.dtype.char not in "fdl?":
            return op.op.forward(x, dim, keepdim)
        return combine(x, axis, None, None, keepdim)

    return found


# ---- softmax -----------------------------------------------------------------------------------

FEW = 1 << 12  # numbers that cost less than the calls around them


# Every row is shifted, though small numbers need it not: were other rows to decide, a row's bits
# would depend on how the batch is shared out over ranks.
def _powers(x: Any, axis: int) -> Any:
    """`x` minus the largest of each row, its exponentials, and their sums; None for other arrays.

    Also None where a row holds NaN or has an infinite peak: its sum is NaN.
    """
    if x.ndim != 2 or axis != 1 or x.dtype.char not in "fd" or not x.flags.c_contiguous:
        return None
    if not x.size or x.shape[1] > SHORT:
        return None
    ones = _ONES[x.dtype.char][x.shape[1]]
    shifted = x - _peak(x, 1, None, None, True)
    powers = numpy.exp(shifted)
    sums = powers.dot(ones)
    whole = sums.dot(sums)  # none is larger than the length of a row
    return (shifted, powers, sums.reshape(-1, 1)) if whole == whole else None


def _softmax(x, axis):
    found = _powers(x, axis)
    if found is None:
        return loss.softmax_axis.op.forward(x, axis)
    _, powers, sums = found
    return numpy.divide(powers, sums, powers)


def _log_softmax(x, axis):
    found = _powers(x, axis)
    if found is None:
        return loss.log_softmax_axis.op.forward(x, axis)
    shifted, powers, sums = found
    return numpy.subtract(shifted, numpy.log(sums, sums), powers)


def _softmax_nll(x, target, each, scale):
    found = None if each is not None or type(scale) is not float else _powers(x, 1)
    if found is None:
        return loss.softmax_nll.op.forward(x, target, each, scale)
    shifted, _, sums = found
    rows = numpy.log(sums, sums).reshape(-1)
    rows -= _picked(shifted, target.reshape(-1, 1)).reshape(-1)
    return _total(rows) * x.dtype.type(scale)


def _residual(x, target):
    out = _softmax(x, 1)
    if not out.flags.c_contiguous or not out.size:
        return loss.residual.op.forward(x, target)
    places = numpy.arange(0, out.size, out.shape[1])
    places += target
    out.reshape(-1)[places] -= 1
    return out


def _picked_total(x, target, count):
    if x.dtype.char not in "fd" or not x.size or not x.flags.c_contiguous:
        return loss.picked_total.op.forward(x, target, count)
    return _total(_picked(x, target.reshape(-1, 1)).reshape(-1)) / x.dtype.type(-count)


def _placed(g, target, width):
    out = numpy.zeros((len(g), width), g.dtype)
    out.reshape(-1)[numpy.arange(0, out.size, width or 1) + target] = g
    return out


# ---- order -------------------------------------------------------------------------------------


def _order(x: Any, descending: bool) -> Any:
    """The indices that sort each row; equal elements keep their order."""
    if not descending:
        return x.argsort(-1, "stable")
    return (x.shape[-1] - 1 - x[..., ::-1].argsort(-1, "stable"))[..., ::-1]


def starts_of(*shape: int) -> Any:
    """Where in the flat order of a shape its rows begin."""
    return numpy.arange(0, math.prod(shape), shape[-1]).reshape(*shape[:-1], 1)


starts_of_few = functools.lru_cache(maxsize=256)(starts_of)


def _picked(x: Any, index: Any) -> Any:
    """The elements of each row at its indices."""
    if x.ndim == 1:
        return x.take(index)
    starts = starts_of_few if x.size <= FEW else starts_of
    return x.ravel().take(index + starts(*x.shape[:-1], x.shape[-1]))


def _gathered(x, index, axis):
    if axis == x.ndim - 1 and x.size and x.flags.c_contiguous and x.ndim == index.ndim:
        if x.shape[:-1] == index.shape[:-1]:
            return _picked(x, index)
    return gather.gather_array.op.forward(x, index, axis)


def _is_last(x: Any, dim: int) -> bool:
    return bool(x.ndim and x.size and x.dtype.char in "fdil" and _axis(x, dim) == x.ndim - 1)


def _sorted(x, dim, descending):
    if not _is_last(x, dim):
        return sort.sort_along.op.forward(x, dim, descending)
    index = _order(x, descending)
    return _picked(x, index), index.copy() if descending else index


def _topk(x, k, dim, largest):
    if not _is_last(x, dim) or not 0 < k <= x.shape[-1]:
        return sort.largest_few.op.forward(x, k, dim, largest)
    if x.size > FEW and k <= 8 and largest and x.dtype.char in "fd":
        found = _largest_in_turn(x, k)
        if found is not None:
            return found
    index = _order(x, largest)[..., :k].copy()
    return _picked(x, index), index


def _largest_in_turn(x: Any, k: int) -> Any:
    """The largest of each row, `k` times, each taken out; None where -inf is among them."""
    width = x.shape[-1]
    left = x.reshape(-1, width).copy()
    every = numpy.arange(0, x.size, width)
    index = numpy.empty((len(left), k), _int64)
    for i in range(k):
        place = left.argmax(1)
        index[:, i] = place
        left.reshape(-1)[every + place] = -math.inf
    index = index.reshape(*x.shape[:-1], k)
    values = _picked(x, index)
    return None if (values == -math.inf).any() else (values, index)


def _median(x):
    n = x.size
    if not n or x.dtype.char not in "fd":
        return statistics.median_of_all.op.forward(x)
    ranked = x.flatten()
    ranked.partition(((n - 1) // 2, n - 1))
    last = ranked[-1]
    return ranked[(n - 1) // 2] if last == last else last  # NaN is the last where there is one


# ---- stretching, the gradient of a sum ---------------------------------------------------------


def _stretched(x, shape_):
    if type(x) is ndarray and x.flags.c_contiguous and 0 not in shape_:
        lead = len(shape_) - x.ndim
        if not lead and shape_ == x.shape:
            return x.view()
        steps = [s if n == m else 0 for n, m, s in zip(x.shape, shape_[lead:], x.strides)]
        return ndarray(shape_, x.dtype, x, 0, (0,) * lead + tuple(steps))
    return shape.broadcast_array.op.forward(x, shape_)


reduce.sum.op.alone = _sum_of_all
DIRECT = (
    (reduce.sum, _sum),
    (reduce.mean, _mean),
    (reduce.prod, _prod),
    (reduce.all, _truth(reduce.all, _all, True)),
    (reduce.any, _truth(reduce.any, _any, False)),
    (statistics.variance, _variance),
    (statistics.deviation, _deviation),
    (statistics.median_of_all, _median),
    (scan.cumsum, _cumsum),
    (extreme.largest_of_all, _largest),
    (extreme.smallest_of_all, _smallest),
    (extreme.largest_along, _extreme_along(extreme.largest_along, numpy.maximum, ndarray.argmax)),
    (extreme.smallest_along, _extreme_along(extreme.smallest_along, numpy.minimum, ndarray.argmin)),
    (extreme.amax, _extreme(extreme.amax, numpy.maximum)),
    (extreme.amin, _extreme(extreme.amin, numpy.minimum)),
    (extreme.argmax, _place(extreme.argmax, ndarray.argmax)),
    (extreme.argmin, _place(extreme.argmin, ndarray.argmin)),
    (loss.softmax_axis, _softmax),
    (loss.softmax_nll, _softmax_nll),
    (loss.residual, _residual),
    (loss.picked_total, _picked_total),
    (loss.place_rows, _placed),
    (gather.gather_array, _gathered),
    (loss.log_softmax_axis, _log_softmax),
    (sort.sort_along, _sorted),
    (sort.largest_few, _topk),
    (shape.broadcast_array, _stretched),
)
