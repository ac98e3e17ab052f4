"""Products of matrices and vectors."""

from __future__ import annotations

from typing import Any

from numpy import ndarray

from core.autograd.adapt import adaptable, adapted
from core.autograd.demand import of_tensors, refusal
from core.autograd.dispatch import primitive
from core.autograd.inplace import write_out
from core.autograd.mode import mode
from core.autograd.quick import binary, two_of
from core.autograd.value import called
from core.backend import xp
from core.dtype import of
from core.ops.promotion import accumulates_in, same_device
from core.ops.shape import copied_in_shape, in_shape, reshape_array, transpose

__all__ = "matmul mm bmm mv dot vdot inner".split()


def widened(a: Any, b: Any) -> tuple[Any, Any, Any]:
    """Both arrays in the dtype that products accumulate in, and the dtype of the result."""
    want = a.dtype
    wide = accumulates_in(want)
    # Of two matrices cuBLAS takes half types as they are, adds up in float32 and rounds once; of
    # more axes CuPy has no bfloat16.
    if wide == want or (type(a) is not ndarray and a.ndim == b.ndim == 2):
        return a, b, want
    return a.astype(wide), b.astype(wide), want


@binary
@primitive(
    casts=same_device,
    label=lambda node: "MmBackward0" if len(node.shape) == 2 else "BmmBackward0",
    tensors=2,
)
def matrix_product(a, b):
    """The product over the last two axes, the others broadcast."""
    a, b, want = widened(a, b)
    return xp(a).matmul(a, b).astype(want, copy=False)


matrix_product.defvjp(
    a=lambda g, b: matrix_product(g, b.swapaxes(-2, -1)),
    b=lambda g, a: matrix_product(a.swapaxes(-2, -1), g),
)


@binary
@primitive(casts=same_device, name="mv", tensors=2)
def matrix_vector(x, v):
    """The product of a matrix and a vector."""
    x, v, want = widened(x, v)
    return xp(x).matmul(x, v).astype(want, copy=False)


matrix_vector.defvjp(
    x=lambda g, v: reshape_array(g, (len(g), 1)) * v,
    v=lambda g, x: matrix_vector(transpose(x, 0, 1), g),
)


def _inner(x: Any, y: Any) -> Any:
    x, y, want = widened(x, y)
    return xp(x).asarray(xp(x).dot(x, y)).astype(want, copy=False)


@binary
@primitive(casts=same_device, name="dot", tensors=2)
def inner_product(x, y):
    """The sum of the products of the elements of two vectors."""
    return _inner(x, y)


inner_product.defvjp(x=lambda g, y: g * y, y=lambda g, x: g * x)


@binary
@primitive(casts=same_device, name="vdot")
def inner_product_of_conjugate(x, y):
    """The sum of the products of the elements of two vectors, which are real."""
    return _inner(x, y)


inner_product_of_conjugate.defvjp(x=lambda g, y: g * y, y=lambda g, x: g * x)


# ---- checks -----------------------------------------------------------------------------------


def check_pair(x: Any, y: Any, name: str = "") -> None:
    """Raise RuntimeError unless both have one dtype, NotImplementedError for bools."""
    if x.array.dtype != y.array.dtype:
        raise RuntimeError(
            f"expected m1 and m2 to have the same dtype, but got: {of(x.array.dtype).name} !="
            f" {of(y.array.dtype).name}"
        )
    if x.array.dtype == bool:
        raise NotImplementedError(f"\"{name or 'matmul'}\" not implemented for 'Bool'")


def check_dims(name: str, what: str, x: Any, ndim: int) -> None:
    """Raise RuntimeError unless `x` has so many dims."""
    if x.array.ndim != ndim:
        raise RuntimeError(f"{name}: {what} must be {ndim}-D, but it is {x.array.ndim}-D")


def check_inner(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    """Raise RuntimeError unless the shapes of two matrices, or a matrix and a vector, fit."""
    inner = b[-2] if len(b) > 1 else b[0]
    if a[-1] == inner:
        return
    if len(b) == 1:
        shapes = f"{a[-2] if len(a) > 1 else 1}x{a[-1]}", str(inner)
        raise RuntimeError(
            f"size mismatch, got input ({a[0]}), mat ({shapes[0]}), vec ({shapes[1]})"
        )
    rows = 1
    for n in a[:-1]:
        rows *= n
    raise RuntimeError(
        f"mat1 and mat2 shapes cannot be multiplied ({rows}x{a[-1]} and {inner}x{b[-1]})"
    )


# ---- products ---------------------------------------------------------------------------------


def matmul(input: Any, other: Any, *, out: Any = None) -> Any:
    """The matrix product, with PyTorch's rules for vectors and broadcast batches.

    Raises: RuntimeError where the inner sizes or the dtypes differ.
    """
    try:
        x, y, recording = input.array, getattr(other, "array", None), mode.fast
    except AttributeError:
        raise refusal("matmul", "input", 0, input) from None
    if out is None and recording is not None and type(x) is type(y) is ndarray:
        if x.ndim == 2 == y.ndim and x.dtype is y.dtype and x.dtype.kind == "f":
            if x.shape[1] == y.shape[0]:
                return two_of(matrix_product.op, input, other, x, y, recording)
    if y is None:
        raise refusal("matmul", "other", 1, other)
    if mode.fast is None and mode.watchers:
        input, other = adapted("matmul", (input, other))
    a, b = input.array.shape, other.array.shape
    check_matmul(input, other, a, b)
    result = _matmul(input, other, a, b)
    return result if out is None else write_out(result, out)


def _matmul(x: Any, y: Any, a: tuple[int, ...], b: tuple[int, ...]) -> Any:
    left, right = len(a), len(b)
    if left == 2 and right == 2:
        return matrix_product(x, y)
    if left == 1 and right == 1:
        return inner_product(x, y)
    if left == 2 and right == 1:
        return matrix_vector(x, y)
    if left == 1:
        product = matrix_product(reshape_array(x, (1, *a)), y)
        out = copied_in_shape(product, (*b[:-2], b[-1]))
        return called(out, "SqueezeBackward4") if right == 2 else out
    if right <= 2:  # one matrix for the whole batch: one product of all rows
        rows = 1
        for n in a[:-1]:
            rows *= n
        flat = in_shape(x, (rows, a[-1]))
        product = matrix_product(flat, y) if right == 2 else matrix_vector(flat, y)
        return copied_in_shape(product, (*a[:-1], *b[1:]))
    return called(matrix_product(x, y), "UnsafeViewBackward0")


def check_matmul(x: Any, other: Any, a: tuple[int, ...], b: tuple[int, ...]) -> None:
    """Raise RuntimeError unless the two can be multiplied."""
    if not a or not b:
        raise RuntimeError(
            f"both arguments to matmul need to be at least 1D, but they are {len(a)}D and {len(b)}D"
        )
    if x.array.dtype != other.array.dtype or x.array.dtype == bool:
        check_pair(x, other)
    if a[-1] != (b[-2] if len(b) > 1 else b[0]):
        if len(a) > 2 and len(b) > 2:
            raise RuntimeError(
                f"Expected size for first two dimensions of batch2 tensor to be: [{a[0]}, {a[-1]}]"
                f" but got: [{b[0]}, {b[-2]}]."
            )
        check_inner(a, b)


@of_tensors("input", "mat2")
@adaptable
def mm(input: Any, mat2: Any, *, out: Any = None) -> Any:
    """The product of two matrices.

    Raises: RuntimeError unless both are matrices of one dtype whose sizes fit.
    """
    check_dims("mm", "self", input, 2)
    check_dims("mm", "mat2", mat2, 2)
    check_pair(input, mat2)
    check_inner(input.array.shape, mat2.array.shape)
    result = matrix_product(input, mat2)
    return result if out is None else write_out(result, out, exact=True)


@of_tensors("input", "mat2")
@adaptable
def bmm(input: Any, mat2: Any, *, out: Any = None) -> Any:
    """The products of two batches of matrices, one by one.

    Raises: RuntimeError unless both have three dims, one dtype and sizes that fit.
    """
    check_dims("bmm", "batch1", input, 3)
    check_dims("bmm", "batch2", mat2, 3)
    check_pair(input, mat2)
    a, b = input.array.shape, mat2.array.shape
    if a[0] != b[0] or a[2] != b[1]:
        raise RuntimeError(
            f"Expected size for first two dimensions of batch2 tensor to be: [{a[0]}, {a[2]}] but"
            f" got: [{b[0]}, {b[1]}]."
        )
    result = matrix_product(input, mat2)
    return result if out is None else write_out(result, out, exact=True)


@of_tensors("input", "vec")
@adaptable
def mv(input: Any, vec: Any, *, out: Any = None) -> Any:
    """The product of a matrix and a vector.

    Raises: RuntimeError unless the dims, sizes and dtypes fit.
    """
    if input.array.ndim != 2 or vec.array.ndim != 1:
        raise RuntimeError(
            f"vector + matrix @ vector expected, got 1, {input.array.ndim}, {vec.array.ndim}"
        )
    check_pair(input, vec)
    check_inner(input.array.shape, vec.array.shape)
    result = matrix_vector(input, vec)
    return result if out is None else write_out(result, out)


@of_tensors("input", "tensor")
def dot(input: Any, tensor: Any, *, out: Any = None) -> Any:
    """The sum of the products of the elements of two vectors.

    Raises: RuntimeError unless both are vectors of one size and dtype.
    """
    _check_vectors(input, tensor)
    result = inner_product(input, tensor)
    return result if out is None else write_out(result, out)


@of_tensors("input", "other")
def vdot(input: Any, other: Any, *, out: Any = None) -> Any:
    """The sum of the products of the elements of two vectors, as `dot`: all numbers are real."""
    _check_vectors(input, other)
    result = inner_product_of_conjugate(input, other)
    return result if out is None else write_out(result, out)


def _check_vectors(x: Any, y: Any) -> None:
    if x.array.ndim != 1 or y.array.ndim != 1:
        raise RuntimeError(
            f"1D tensors expected, but got {x.array.ndim}D and {y.array.ndim}D tensors"
        )
    if x.array.dtype != y.array.dtype:
        raise RuntimeError(
            "dot : expected both vectors to have same dtype, but found"
            f" {of(x.array.dtype).name} and {of(y.array.dtype).name}"
        )
    if x.array.dtype == bool:
        raise NotImplementedError("\"dot\" not implemented for 'Bool'")
    if x.array.size != y.array.size:
        raise RuntimeError(
            "inconsistent tensor size, expected tensor"
            f" [{x.array.size}] and src [{y.array.size}] to have the same number of elements"
        )


@of_tensors("input", "other")
def inner(input: Any, other: Any, *, out: Any = None) -> Any:
    """The sums of products over the last dims of both.

    Raises: RuntimeError where the last sizes differ.
    """
    a, b = input.array.shape, other.array.shape
    if not a or not b:
        result = input * other
    else:
        check_pair(input, other)
        if a[-1] != b[-1]:
            raise RuntimeError(
                "inner() the last dimension must match on both input tensors but got shapes"
                f" {list(a)} and {list(b)}"
            )
        left = in_shape(input, (_rows(a), a[-1]))
        right = in_shape(other, (_rows(b), b[-1]))
        product = matrix_product(left, transpose(right, 0, 1))
        result = reshape_array(product, (*a[:-1], *b[:-1]))
    return result if out is None else write_out(result, out)


def _rows(shape: tuple[int, ...]) -> int:
    count = 1
    for n in shape[:-1]:
        count *= n
    return count


# ---- layers -----------------------------------------------------------------------------------


def _linear_label(node: Any) -> str:
    """PyTorch's last step: the product itself for a matrix, else what restores the shape."""
    biased = 2 in node.plan.wanted
    if len(node.shape) == 2:
        return "AddmmBackward0" if biased else "MmBackward0"
    if biased:
        return "ViewBackward0"
    return "UnsafeViewBackward0" if len(node.shape) > 2 else "SqueezeBackward4"


@primitive(casts=same_device, label=_linear_label)
def linear(x, w, b=None):
    """X @ w.T + b over the last axis of `x`.

    Shape: (..., in), (out, in), (out,) -> (..., out).
    Raises: RuntimeError where the sizes differ.
    """
    if x.dtype is not w.dtype and x.dtype != w.dtype:
        raise RuntimeError(
            "mat1 and mat2 must have the same dtype, but got"
            f" {of(x.dtype).name} and {of(w.dtype).name}"
        )
    if type(x) is not ndarray and x.ndim > 2:  # else CuPy copies w for every product
        return linear(x.reshape(-1, x.shape[-1]), w, b).reshape(*x.shape[:-1], w.shape[0])
    x, w, want = widened(x, w)
    out = xp(x).matmul(x, w.T)
    if b is not None:
        out += b
    return out.astype(want, copy=False)


linear.defvjp(
    x=lambda g, w: matmul_any(g, w),
    w=lambda g, x: matrix_product(rows_of(g).swapaxes(0, 1), rows_of(x)),
    b=lambda g: g,
)


def _weights_into(home: Any, g: Any, x: Any) -> Any:
    """The gradient of `w`, in the array `home`."""
    a, b = rows_of(g).swapaxes(0, 1), rows_of(x)
    if a.dtype is not home.dtype or accumulates_in(a.dtype) != a.dtype:
        return matrix_product(a, b)
    return xp(a).matmul(a, b, out=home)


linear.op.into[1] = _weights_into


def matmul_any(a: Any, b: Any) -> Any:
    """A @ b where `a` has any number of axes and `b` is a matrix."""
    if len(a.shape) > 1:
        return matrix_product(a, b)
    return reshape_array(matrix_product(reshape_array(a, (1, *a.shape)), b), (b.shape[1],))


def rows_of(x: Any) -> Any:
    """`x` as a matrix whose rows are its last axis."""
    return reshape_array(x, (_rows(tuple(x.shape)), x.shape[-1]))
