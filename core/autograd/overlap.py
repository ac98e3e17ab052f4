"""Memory that is about to be written: whether an operand lies in it, or it in itself."""

from __future__ import annotations

from typing import Any

from core.autograd.value import Value
from core.backend import address, owner


def forbid_overlap(target: Any) -> None:
    """Refuse to write into memory of which one place stands for several elements.

    Raises: RuntimeError.
    """
    if 0 in target.strides and target.size and _overlaps(target):
        raise RuntimeError(
            "unsupported operation: more than one element of the written-to tensor refers to a"
            " single memory location. Please clone() the tensor before performing the operation."
        )


SHARED = (
    "unsupported operation: some elements of the input tensor and the written-to tensor refer to a"
    " single memory location. Please clone() the tensor before performing the operation."
)


def shared_memory(a: Any, b: Any) -> bool:
    """Whether the stretches of memory from the first to the last element of two arrays meet."""
    if owner(a) is not owner(b) or not a.size or not b.size:
        return False
    (low, high), (start, stop) = map(_stretch, (a, b))
    return low < stop and start < high


def _stretch(x: Any) -> tuple[int, int]:
    start = address(x)
    ends = [(n - 1) * step for n, step in zip(x.shape, x.strides)]
    return start + sum(e for e in ends if e < 0), start + sum(e for e in ends if e > 0) + x.itemsize


def forbid_sharing(x: Any, others: Any) -> None:
    """Refuse to write into memory that an operand lies in otherwise than the target itself.

    Raises: RuntimeError; as PyTorch, not where one of the two has gaps.
    """
    target = x.array
    for other in others:
        if other is x or not isinstance(other, Value) or (other.base is None and x.base is None):
            continue
        array = other.array
        if not shared_memory(array, target) or not (_dense(array) and _dense(target)):
            continue
        if array.strides != target.strides or _stretch(array) != _stretch(target):
            raise RuntimeError(SHARED)


def _dense(x: Any) -> bool:
    low, high = _stretch(x)
    return high - low == x.nbytes


def _overlaps(target: Any) -> bool:
    return any(n > 1 and not step for n, step in zip(target.shape, target.strides))
