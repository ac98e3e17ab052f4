"""New tensors from rules: ranges, grids, identity, indices of triangles, products and choices."""

from __future__ import annotations

import itertools
import math
from operator import index
from typing import Any

import numpy

from core.autograd.place import where_it_lies
from core.autograd.value import Value, called, wrap
from core.backend import resolve, to_device, xp
from core.dtype import get_default_dtype, to_numpy
from core.ops.creation import check_options, checked, given
from core.ops.gather import index_select
from core.ops.join import cat, stack
from core.ops.movement import flip
from core.ops.scan import cumprod
from core.ops.shape import broadcast_array, reshape_array

__all__ = """
arange range linspace logspace eye tril_indices triu_indices meshgrid cartesian_prod combinations
vander
""".split()


def _number(x: Any) -> Any:
    return x.array.item() if isinstance(x, Value) else x


def _placed(values: Any, options: dict[str, Any]) -> Any:
    where = resolve(options.get("device"))
    requires_grad = options.get("requires_grad", False)
    return given(to_device(values, where), options.get("out"), requires_grad)


# ---- along a line -----------------------------------------------------------------------------


def arange(start: Any = 0, end: Any = None, step: Any = 1, **options: Any) -> Any:
    """Numbers from `start` (0 if only one is given) up to, without, `end`.

    Raises: RuntimeError where the bounds do not fit the sign of `step`.
    """
    check_options("arange", options)
    if end is None:
        start, end = 0, start
    start, end, step = map(_number, (start, end, step))
    out = options.get("out")
    if out is not None and out.array.dtype.kind in "iu" and not int(step):
        raise ValueError("step must be nonzero")  # it is counted in the type of out
    if step == 0:
        raise RuntimeError("step must be nonzero")
    if not math.isfinite(start) or not math.isfinite(end):
        raise RuntimeError(f"unsupported range: {start} -> {end}")
    if (end - start) * step < 0:
        raise RuntimeError("upper bound and lower bound inconsistent with step sign")
    want = to_numpy(options.get("dtype"))
    if want is None:
        floating = any(isinstance(x, float) for x in (start, end, step))
        want = get_default_dtype().numpy if floating else numpy.dtype("int64")
    return _placed(_counted(start, end, step, want), options)


def _counted(start: Any, end: Any, step: Any, want: Any) -> numpy.ndarray:
    """The numbers of a range; whole ones count in whole steps from a whole start.

    Raises: ValueError where a whole step is zero.
    """
    if want == numpy.int64:  # the bounds are cut first, as those of other types are not
        start, end, step = map(int, (start, end, step))
        if not step:
            raise ValueError("step must be nonzero")
    whole = not any(isinstance(x, float) for x in (start, end, step))
    count = -((start - end) // step) if whole else math.ceil((end - start) / step)
    if want.kind in "iu":
        start, step = int(start), int(step)
    steps = numpy.arange(count, dtype=numpy.int64 if want.kind in "iu" or whole else numpy.float64)
    return (start + step * steps).astype(want)


def range(start: Any = 0, end: Any = None, step: Any = 1, **options: Any) -> Any:
    """Numbers from `start` up to and with `end`: the old form of `arange`."""
    if end is None:
        raise TypeError("range() missing 1 required positional arguments: 'end'")
    start, end, step = map(_number, (start, end, step))
    count = math.floor((end - start) / step) + 1
    want = to_numpy(options.get("dtype")) or get_default_dtype().numpy
    return _placed((start + step * numpy.arange(count)).astype(want), options)


def linspace(start: Any, end: Any, steps: int, **options: Any) -> Any:
    """So many numbers from `start` to `end`, both included, evenly spaced.

    Raises: RuntimeError for a negative number of steps.
    """
    check_options("linspace", options)
    want = to_numpy(options.get("dtype")) or get_default_dtype().numpy
    return _placed(_line(start, end, steps, want).astype(want), options)


def _line(start: Any, end: Any, steps: int, want: Any) -> numpy.ndarray:
    """Both halves are counted from their own end, so that the line is symmetric."""
    for end_ in (start, end):
        if isinstance(end_, Value) and end_.array.ndim:
            raise RuntimeError(
                "linspace only supports 0-dimensional start and end tensors, but got one with"
                f" {end_.array.ndim} dimension(s)"
            )
    start, end, steps = _number(start), _number(end), index(steps)
    if want.kind in "iu":
        start, end = int(start), int(end)
    if steps < 0:
        raise RuntimeError("number of steps must be non-negative")
    count = numpy.arange(steps)
    step = (end - start) / (steps - 1) if steps > 1 else 0.0
    return numpy.where(count < steps / 2, start + step * count, end - step * (steps - 1 - count))


def logspace(start: Any, end: Any, steps: int, base: float = 10.0, **options: Any) -> Any:
    """So many numbers from base**start to base**end, evenly spaced in the exponent.

    Raises: RuntimeError for a negative number of steps.
    """
    check_options("logspace", options)
    want = to_numpy(options.get("dtype")) or get_default_dtype().numpy
    values = numpy.power(float(base), _line(start, end, steps, want))
    return _placed(values.astype(want), options)


# ---- matrices ---------------------------------------------------------------------------------


def eye(n: int, m: int | None = None, **options: Any) -> Any:
    """A matrix with ones on the diagonal and zeros elsewhere.

    Raises: RuntimeError for a negative size.
    """
    check_options("eye", options)
    m = n if m is None else m
    for size in (n, m):
        if size < 0:
            raise RuntimeError(f"n must be greater or equal to 0, got {size}")
    want = to_numpy(options.get("dtype")) or get_default_dtype().numpy
    return _placed(numpy.eye(n, m, dtype=want), options)


def tril_indices(row: int, col: int, offset: int = 0, **options: Any) -> Any:
    """The rows and columns of the elements on and below a diagonal, row by row.

    Shape: -> (2, n).
    """
    return _indices("tril_indices", _below(row, col, offset), options)


def triu_indices(row: int, col: int, offset: int = 0, **options: Any) -> Any:
    """The rows and columns of the elements on and above a diagonal, row by row.

    Shape: -> (2, n).
    """
    return _indices("triu_indices", ~_below(row, col, offset - 1), options)


def _below(row: int, col: int, offset: int) -> numpy.ndarray:
    checked((row, col))
    return numpy.tri(row, col, offset, dtype=bool)


def _indices(name: str, mask: numpy.ndarray, options: dict[str, Any]) -> Any:
    check_options(name, options)
    want = to_numpy(options.get("dtype")) or numpy.dtype("int64")
    return _placed(numpy.stack(mask.nonzero()).astype(want), options)


# ---- products and choices ---------------------------------------------------------------------


def meshgrid(*tensors: Any, indexing: str | None = None) -> tuple[Any, ...]:
    """The coordinates of a grid, one tensor per axis, as views; "xy" swaps the first two dims.

    Raises: RuntimeError for other tensors than vectors and scalars, or another indexing.
    """
    xs = list(tensors[0]) if len(tensors) == 1 and not isinstance(tensors[0], Value) else [*tensors]
    if not xs:
        raise RuntimeError("meshgrid expects a non-empty TensorList")
    if indexing not in (None, "ij", "xy"):
        raise RuntimeError(
            f'torch.meshgrid: indexing must be one of "xy" or "ij", but received: {indexing}'
        )
    for x in xs:
        if x.array.ndim > 1:
            raise RuntimeError(
                f"torch.meshgrid: Expected 0D or 1D tensor in the tensor list but got:"
                f" {x.array.ndim}D"
            )
        if x.array.dtype != xs[0].array.dtype:
            raise RuntimeError("torch.meshgrid expects all tensors to have the same dtype")
    swapped = indexing == "xy" and len(xs) > 1
    if swapped:
        xs[:2] = xs[1::-1]
    shape = tuple(x.array.size for x in xs)
    out = []
    for i, x in enumerate(xs):
        line = reshape_array(x, tuple(n if d == i else 1 for d, n in enumerate(shape)))
        out.append(broadcast_array(line, shape))
    if swapped:
        out[:2] = out[1::-1]
    return tuple(out)


def cartesian_prod(*tensors: Any) -> Any:
    """All tuples with one element of each vector, as rows.

    Raises: RuntimeError for other tensors than vectors.
    """
    for x in tensors:
        if x.array.ndim != 1:
            raise RuntimeError(f"Expect a 1D vector, but got shape {list(x.array.shape)}")
    if len(tensors) == 1:
        return tensors[0]
    grids = meshgrid(*tensors, indexing="ij")
    return stack([reshape_array(x, (x.array.size,)) for x in grids], 1)


@where_it_lies
def combinations(input: Any, r: int = 2, with_replacement: bool = False) -> Any:
    """All choices of `r` elements of a vector, as rows.

    Raises: RuntimeError unless `input` is a vector and `r` not negative.
    """
    if input.array.ndim != 1:
        raise RuntimeError(f"Expect a 1D vector, but got shape {list(input.array.shape)}")
    if r < 0:
        raise RuntimeError(f"Expect a non-negative number, but got {r}")
    if r == 0:
        return wrap(xp(input.array).empty(0, input.array.dtype))
    n = input.array.size
    pick = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    rows = numpy.array(list(pick(numpy.arange(n), r)), numpy.int64).reshape(-1, r)
    places = wrap(xp(input.array).asarray(rows.reshape(-1)))
    found = reshape_array(index_select(input, 0, places), rows.shape)
    return called(found, "StackBackward0")


def powers(x: Any, N: int | None = None) -> Any:
    """The powers of each element, from 0 to N - 1, along a new last dim.

    Raises: RuntimeError for a tensor without dims, or N below 2.
    """
    if not x.array.ndim and N is None:
        raise RuntimeError("linalg.vander: x must be at least one-dimensional")
    x = x if x.array.ndim else reshape_array(x, (1,))
    count = x.array.shape[-1] if N is None else N
    if count < 2 and N is not None:
        raise RuntimeError("N must be greater than 1.")
    column = reshape_array(x, (*x.array.shape, 1))
    wide = broadcast_array(column, (*x.array.shape, max(count - 1, 0)))
    ones = wrap(xp(x.array).ones((*x.array.shape, min(count, 1)), x.array.dtype))
    return called(cumprod(cat([ones, wide], -1), -1), "CatBackward0")


def vander(x: Any, N: int | None = None, increasing: bool = False) -> Any:
    """The powers of the elements of a vector, a row per element, the highest first.

    Raises: RuntimeError for other numbers of dims.
    """
    if x.array.ndim != 1:
        raise RuntimeError("x must be a one-dimensional tensor.")
    if N is not None and N < 2:
        found = broadcast_array(reshape_array(x, (-1, 1)), (x.array.size, N)) * 0 + 1
        return found
    found = powers(x, N)
    return called(found if increasing else flip(found, 1), "CatBackward0")
