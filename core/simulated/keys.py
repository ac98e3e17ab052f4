"""Keys of indexing as a GPU takes them: indices are not checked but wrapped round."""

from __future__ import annotations

from typing import Any

import numpy


def wrapped_round(key: tuple[Any, ...], shape: tuple[int, ...]) -> tuple[Any, ...]:
    """A key whose arrays of indices are taken modulo the sizes: a GPU does not check them."""
    used = sum(1 if not _is_mask(k) else k.ndim for k in key if k is not None and k is not ...)
    out: list[Any] = []
    axis = 0
    for part in key:
        if part is None:
            out.append(part)
            continue
        if part is Ellipsis:
            axis += len(shape) - used
        elif _is_mask(part):
            axis += part.ndim
        else:
            if isinstance(part, numpy.ndarray) and shape[axis]:
                part = part % shape[axis]
            axis += 1
        out.append(part)
    return tuple(out)


def _is_mask(part: Any) -> bool:
    return isinstance(part, numpy.ndarray) and part.dtype == bool
