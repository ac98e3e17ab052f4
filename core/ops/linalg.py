"""Products of matrices and vectors."""

from __future__ import annotations

from typing import Any

from core.autograd.dispatch import primitive
from core.backend import xp
from core.ops.promotion import accumulates_in, same_device
from core.ops.shape import reshape_array, transpose


def widened(a: Any, b: Any) -> tuple[Any, Any, Any]:
    """Both arrays in the dtype that products accumulate in, and the dtype of the result."""
    want = a.dtype
    wide = accumulates_in(want)
    return (a, b, want) if wide == want else (a.astype(wide), b.astype(wide), want)


@primitive(
    casts=same_device, label=lambda node: "MmBackward0" if len(node.shape) == 2 else "BmmBackward0"
)
def matrix_product(a, b):
    """The product over the last two axes, the others broadcast."""
    a, b, want = widened(a, b)
    return xp(a).matmul(a, b).astype(want, copy=False)


matrix_product.defvjp(
    a=lambda g, b: matrix_product(g, transpose(b, -2, -1)),
    b=lambda g, a: matrix_product(transpose(a, -2, -1), g),
)

__all__ = "matmul".split()


def matmul(x: Any, other: Any, *, out: Any = None) -> Any:
    """The matrix product, with PyTorch's rules for vectors and broadcast batches.

    Raises: RuntimeError where the inner sizes or the dtypes differ.
    """
    a, b = tuple(x.shape), tuple(other.shape)
    check_matmul(x, other, a, b)
    left = x if len(a) > 1 else reshape_array(x, (1, *a))
    right = other if len(b) > 1 else reshape_array(other, (*b, 1))
    product = (
        matrix_product(left, right, out=out) if out is not None else matrix_product(left, right)
    )
    if len(a) > 1 and len(b) > 1:
        return product
    shape = tuple(product.shape)
    head = shape[:-2] + (shape[-2:-1] if len(a) > 1 else ()) + (shape[-1:] if len(b) > 1 else ())
    return reshape_array(product, head)


def check_matmul(x: Any, other: Any, a: tuple[int, ...], b: tuple[int, ...]) -> None:
    """Raise RuntimeError unless the two can be multiplied."""
    if not a or not b:
        raise RuntimeError(
            f"both arguments to matmul need to be at least 1D, but they are {len(a)}D and {len(b)}D"
        )
    if x.array.dtype != other.array.dtype:
        raise RuntimeError(
            f"expected m1 and m2 to have the same dtype, but got: {x.dtype} != {other.dtype}"
        )
    inner = b[-2] if len(b) > 1 else b[0]
    if a[-1] != inner:
        rows = 1
        for n in a[:-1]:
            rows *= n
        raise RuntimeError(
            f"mat1 and mat2 shapes cannot be multiplied ({rows}x{a[-1]} and {inner}x{b[-1]})"
        )


@primitive(label="AddmmBackward0")
def linear(x, w, b=None):
    """X @ w.T + b over the last axis of `x`.

    Shape: (..., in), (out, in), (out,) -> (..., out).
    Raises: RuntimeError where the sizes differ.
    """
    x, w, want = widened(x, w)
    out = xp(x).matmul(x, w.T)
    if b is not None:
        out += b
    return out.astype(want, copy=False)


linear.defvjp(
    x=lambda g, w: matmul_any(g, w),
    w=lambda g, x: matrix_product(transpose(rows_of(g), 0, 1), rows_of(x)),
    b=lambda g: g,
)


def matmul_any(a: Any, b: Any) -> Any:
    """A @ b where `a` has any number of axes and `b` is a matrix."""
    if len(a.shape) > 1:
        return matrix_product(a, b)
    return reshape_array(matrix_product(reshape_array(a, (1, *a.shape)), b), (b.shape[1],))


def rows_of(x: Any) -> Any:
    """`x` as a matrix whose rows are its last axis."""
    count = 1
    for n in x.shape[:-1]:
        count *= n
    return reshape_array(x, (count, x.shape[-1]))
