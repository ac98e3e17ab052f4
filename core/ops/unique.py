"""Distinct elements. The size of these results depends on the values."""

from __future__ import annotations

import math
from typing import Any

import numpy

from core.autograd.place import where_it_lies
from core.autograd.value import wrap
from core.backend import xp
from core.ops.dims import axis_of

__all__ = "unique unique_consecutive".split()


@where_it_lies
def unique(
    input: Any,
    sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Any:
    """The distinct elements in order, or along `dim` the distinct slices.

    With `return_inverse` also where each element went, with `return_counts` also how many.
    """
    x, module = input.array, xp(input.array)
    if dim is not None:
        axis = _axis(dim, x)
        rows = module.moveaxis(x, axis, 0)
        order = _row_order(module, rows)
        shape: tuple[int, ...] = (len(rows),)
    else:
        rows, axis, shape = x.reshape(-1), 0, x.shape
        order = rows.argsort(kind="stable") if module is numpy else rows.argsort()
    parts = _runs(module, rows[order])
    inverse = module.empty(len(order), numpy.int64)
    inverse[order] = parts[1]
    return _returned(
        module, (parts[0], inverse, parts[2]), axis, shape, return_inverse, return_counts
    )


@where_it_lies
def unique_consecutive(
    input: Any, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None
) -> Any:
    """The elements, or along `dim` the slices, without those that repeat the one before.

    With `return_inverse` also where each element went, with `return_counts` also how many.
    """
    x, module = input.array, xp(input.array)
    if dim is not None:
        axis = _axis(dim, x)
        rows = module.moveaxis(x, axis, 0)
        shape: tuple[int, ...] = (len(rows),)
    else:
        rows, axis, shape = x.reshape(-1), 0, x.shape
    return _returned(module, _runs(module, rows), axis, shape, return_inverse, return_counts)


def _axis(dim: int, x: Any) -> int:
    if not x.ndim:
        raise IndexError(f"Dimension specified as {dim} but tensor has no dimensions")
    return axis_of(dim, x.ndim)


def _row_order(module: Any, rows: Any) -> Any:
    """The indices that sort slices by their first element, then their second, and so on."""
    flat = rows.reshape(len(rows), math.prod(rows.shape[1:]))
    if not flat.size:
        return module.arange(len(rows))
    return module.lexsort(flat.T[::-1])


def _runs(module: Any, rows: Any) -> tuple[Any, Any, Any]:
    """The first of each run of equal rows, the run of each row, and how long the runs are."""
    n = len(rows)
    fresh = module.ones(n, bool)
    differ = rows[1:] != rows[:-1]
    fresh[1:] = differ.any(tuple(range(1, rows.ndim)))
    run = module.cumsum(fresh) - 1
    starts = module.flatnonzero(fresh)
    ends = module.concatenate([starts[1:], module.asarray([n], dtype=starts.dtype)])
    return rows[starts], run, (ends - starts)[: len(starts)]


def _returned(
    module: Any, parts: Any, axis: int, shape: Any, return_inverse: bool, return_counts: bool
) -> Any:
    found, inverse, counts = parts
    out = [wrap(module.moveaxis(module.ascontiguousarray(found), 0, axis))]
    if return_inverse:
        out.append(wrap(inverse.astype(numpy.int64).reshape(shape)))
    if return_counts:
        out.append(wrap(counts.astype(numpy.int64)))
    return tuple(out) if len(out) > 1 else out[0]
