"""Products with a sum added, and over chosen dims: addmm, outer, tensordot, kron, cross."""

from __future__ import annotations

import math
from typing import Any

from core.autograd.adapt import adaptable
from core.autograd.demand import of_tensors
from core.autograd.dispatch import primitive
from core.autograd.inplace import write_out
from core.autograd.value import called
from core.backend import xp
from core.dtype import BOOL, FLOAT, of, result_type
from core.ops.arrange import broadcast_shapes
from core.ops.dims import axis_of
from core.ops.elementwise import mul
from core.ops.linalg import check_dims, check_inner, check_pair, matrix_product, mm, widened
from core.ops.promotion import refuse, same_device
from core.ops.shape import broadcast_array, in_shape, permute_axes, reshape_array, transpose

__all__ = """
addmm baddbmm addbmm addmv addr outer ger tensordot kron cross chain_matmul
""".split()


# ---- a product added to something -------------------------------------------------------------


def _added(name: str) -> Any:
    """Beta * c + alpha * (a @ b) over the last two axes, under PyTorch's name."""

    @primitive(casts=same_device, name=name)
    def sum_of_products(c, a, b, beta, alpha):
        """The matrix product of a and b, alpha times, added to beta times c."""
        if of(a.dtype).category != FLOAT:  # as PyTorch, which rounds towards zero
            beta, alpha = int(beta), int(alpha)
        a, b, want = widened(a, b)
        out = xp(a).matmul(a, b)
        out = out if alpha == 1 else out * alpha
        if beta != 0:
            out = out + (c if beta == 1 else c.astype(out.dtype, copy=False) * beta)
        return out.astype(want, copy=False)

    sum_of_products.defvjp(
        c=lambda g, beta: g * beta,
        a=lambda g, b, alpha: matrix_product(g, transpose(b, -2, -1)) * alpha,
        b=lambda g, a, alpha: matrix_product(transpose(a, -2, -1), g) * alpha,
        beta=None,
        alpha=None,
    )
    return sum_of_products


_addmm, _baddbmm = _added("addmm"), _added("baddbmm")


def _check_sum(x: Any, shape: tuple[int, ...], y: Any, beta: Any, alpha: Any) -> None:
    """Raise RuntimeError unless `x` can be stretched to `shape` and has the dtype of `y`."""
    if x.array.dtype != y.array.dtype:
        raise RuntimeError(
            f"self and mat2 must have the same dtype, but got {of(x.array.dtype).name} and"
            f" {of(y.array.dtype).name}"
        )
    have = x.array.shape
    lead = len(shape) - len(have)
    if lead < 0 or any(n not in (1, m) for n, m in zip(have, shape[lead:])):
        raise RuntimeError(
            f"The expanded size of the tensor must match the existing size: target sizes:"
            f" {list(shape)}, tensor sizes: {list(have)}"
        )


@of_tensors("input", "mat1", "mat2")
@adaptable
def addmm(
    input: Any, mat1: Any, mat2: Any, *, beta: Any = 1, alpha: Any = 1, out: Any = None
) -> Any:
    """Beta * input + alpha * (mat1 @ mat2).

    Raises: RuntimeError where dims, sizes or dtypes do not fit.
    """
    check_dims("addmm", "mat1", mat1, 2)
    check_dims("addmm", "mat2", mat2, 2)
    check_pair(mat1, mat2)
    check_inner(mat1.array.shape, mat2.array.shape)
    _check_sum(input, (mat1.array.shape[0], mat2.array.shape[1]), mat2, beta, alpha)
    result = _addmm(input, mat1, mat2, beta, alpha)
    return result if out is None else write_out(result, out)


def _check_batches(name: str, x: Any, y: Any) -> None:
    check_dims(name, "batch1", x, 3)
    check_dims(name, "batch2", y, 3)
    check_pair(x, y)
    a, b = x.array.shape, y.array.shape
    if a[0] != b[0] or a[2] != b[1]:
        raise RuntimeError(
            f"Expected size for first two dimensions of batch2 tensor to be: [{a[0]}, {a[2]}] but"
            f" got: [{b[0]}, {b[1]}]."
        )


@of_tensors("input", "batch1", "batch2")
@adaptable
def baddbmm(
    input: Any, batch1: Any, batch2: Any, *, beta: Any = 1, alpha: Any = 1, out: Any = None
) -> Any:
    """Beta * input + alpha * (batch1 @ batch2), matrix by matrix.

    Raises: RuntimeError where dims, sizes or dtypes do not fit.
    """
    _check_batches("baddbmm", batch1, batch2)
    a, b = batch1.array.shape, batch2.array.shape
    _check_sum(input, (a[0], a[1], b[2]), batch2, beta, alpha)
    result = _baddbmm(input, batch1, batch2, beta, alpha)
    return result if out is None else write_out(result, out)


@of_tensors("input", "batch1", "batch2")
@adaptable
def addbmm(
    input: Any, batch1: Any, batch2: Any, *, beta: Any = 1, alpha: Any = 1, out: Any = None
) -> Any:
    """Beta * input + alpha times the sum of batch1 @ batch2 over the batch.

    Raises: RuntimeError where dims, sizes or dtypes do not fit.
    """
    _check_batches("addbmm", batch1, batch2)
    a, b = batch1.array.shape, batch2.array.shape
    _check_sum(input, (a[1], b[2]), batch2, beta, alpha)
    # The sum over the batch is one product of matrices whose inner dims are the batch's together.
    left = reshape_array(permute_axes(batch1, (1, 0, 2)), (a[1], a[0] * a[2]))
    right = reshape_array(batch2, (b[0] * b[1], b[2]))
    result = called(_addmm(input, left, right, beta, alpha), "AddbmmBackward0")
    return result if out is None else write_out(result, out)


@of_tensors("input", "mat", "vec")
def addmv(input: Any, mat: Any, vec: Any, *, beta: Any = 1, alpha: Any = 1, out: Any = None) -> Any:
    """Beta * input + alpha * (mat @ vec).

    Raises: RuntimeError where dims, sizes or dtypes do not fit.
    """
    if mat.array.ndim != 2 or vec.array.ndim != 1:
        raise RuntimeError(
            f"vector + matrix @ vector expected, got {input.array.ndim}, {mat.array.ndim},"
            f" {vec.array.ndim}"
        )
    check_pair(mat, vec)
    check_inner(mat.array.shape, vec.array.shape)
    rows = mat.array.shape[0]
    _check_sum(input, (rows,), vec, beta, alpha)
    column = reshape_array(vec, (vec.array.size, 1))
    start = reshape_array(input, (input.array.size, 1))
    result = reshape_array(_addmm(start, mat, column, beta, alpha), (rows,))
    result = called(result, "AddmvBackward0")
    return result if out is None else write_out(result, out)


@of_tensors("input", "vec1", "vec2")
def addr(
    input: Any, vec1: Any, vec2: Any, *, beta: Any = 1, alpha: Any = 1, out: Any = None
) -> Any:
    """Beta * input + alpha times the outer product of two vectors.

    Raises: RuntimeError where dims or sizes do not fit.
    """
    for name, vec in (("vec1", vec1), ("vec2", vec2)):
        if vec.array.ndim != 1:
            raise RuntimeError(f"addr: Expected 1-D argument {name}, but got {vec.array.ndim}-D")
    n, m = vec1.array.size, vec2.array.size
    broadcast = broadcast_shapes(input.array.shape, (n, m))
    if broadcast != (n, m):
        raise RuntimeError(
            f"addr: size mismatch, input: {list(input.array.shape)}, v1: [{n}], v2: [{m}]"
        )
    if input.array.dtype == bool:  # numbers are truth values too
        beta, alpha = bool(beta), bool(alpha)
    product = outer(vec1, vec2)
    product = product if alpha == 1 else product * alpha
    if beta == 0:
        result = product + 0 * broadcast_array(input.detach(), (n, m))
    else:
        result = product + (input if beta == 1 else input * beta)
    result = called(result, "AddrBackward0")
    return result if out is None else write_out(result, out)


# ---- outer products ---------------------------------------------------------------------------


@of_tensors("input", "vec2")
def outer(input: Any, vec2: Any, *, out: Any = None) -> Any:
    """The matrix of all products of elements of two vectors.

    Raises: RuntimeError unless both are vectors.
    """
    for name, vec in (("input", input), ("vec2", vec2)):
        if vec.array.ndim != 1:
            raise RuntimeError(f"outer: Expected 1-D argument {name}, but got {vec.array.ndim}-D")
    return mul(reshape_array(input, (input.array.size, 1)), vec2, out=out)


def ger(input: Any, vec2: Any, *, out: Any = None) -> Any:
    """The matrix of all products of elements of two vectors: `outer`."""
    return outer(input, vec2, out=out)


@of_tensors("input", "other")
def kron(input: Any, other: Any, *, out: Any = None) -> Any:
    """The Kronecker product: each element of `input` times all of `other`.

    Raises: TypeError for a number.
    """
    if not hasattr(other, "array"):
        kind = type(other).__name__
        raise TypeError(f"kron(): argument 'other' (position 2) must be Tensor, not {kind}")
    a, b = input.array.shape, other.array.shape
    ndim = max(len(a), len(b))
    a, b = (1,) * (ndim - len(a)) + a, (1,) * (ndim - len(b)) + b
    left = reshape_array(input, tuple(m for n in a for m in (n, 1)))
    right = reshape_array(other, tuple(m for n in b for m in (1, n)))
    result = reshape_array(mul(left, right), tuple(n * m for n, m in zip(a, b)))
    result = called(result, "UnsafeViewBackward0")
    return result if out is None else write_out(result, out)


@primitive(casts=same_device, name="linalg_cross")
def cross_product(a, b, axis):
    """The cross products of vectors of three elements along an axis."""
    at = [(slice(None),) * axis + (i,) for i in range(3)]
    out = xp(a).empty(xp(a).broadcast_shapes(a.shape, b.shape), a.dtype)
    for i in range(3):
        j, k = (i + 1) % 3, (i + 2) % 3
        out[at[i]] = a[at[j]] * b[at[k]] - a[at[k]] * b[at[j]]
    return out


cross_product.defvjp(
    a=lambda g, b, axis: cross_product(b, g, axis),
    b=lambda g, a, axis: cross_product(g, a, axis),
    axis=None,
)


@of_tensors("input", "other")
def cross(input: Any, other: Any, dim: int | None = None, *, out: Any = None) -> Any:
    """The cross products of vectors of three elements along a dim, the first such one without.

    Raises: RuntimeError where the dims or sizes do not fit.
    """
    a, b = input.array.shape, other.array.shape
    if dim is None:
        found = [i for i, n in enumerate(broadcast_shapes(a, b)) if n == 3]
        if not found:
            raise RuntimeError("no dimension of size 3 in input")
        dim = found[0] - max(len(a), len(b))
    return cross_along(input, other, dim, out=out)


@of_tensors("input", "other")
def cross_along(input: Any, other: Any, dim: int = -1, *, out: Any = None) -> Any:
    """The cross products of vectors of three elements along a dim.

    Raises: RuntimeError where the dims or sizes do not fit.
    """
    a, b = input.array.shape, other.array.shape
    if len(a) != len(b):
        raise RuntimeError(
            "linalg.cross: inputs must have the same number of dimensions, got"
            f" {len(a)} and {len(b)}"
        )
    refuse(BOOL, "cross", result_type([input.array, other.array]))
    axis = axis_of(dim, len(a))
    if not a or a[axis] != 3 or b[axis] != 3:
        raise RuntimeError(
            f"linalg.cross: inputs dimension {dim} must have length 3. Got"
            f" {a[axis] if a else 1} and {b[axis] if b else 1}"
        )
    broadcast_shapes(a, b)
    if input.array.dtype != other.array.dtype:
        raise RuntimeError(
            f"linalg.cross: expected one dtype, but found {of(input.array.dtype).name} and"
            f" {of(other.array.dtype).name}"
        )
    result = cross_product(input, other, axis)
    return result if out is None else write_out(result, out)


# ---- several dims at once ---------------------------------------------------------------------


@of_tensors("a", "b")
def tensordot(a: Any, b: Any, dims: Any = 2, *, out: Any = None) -> Any:
    """The sums of products over several dims: the last of `a` and first of `b`, or those named.

    Raises: RuntimeError where the sizes differ.
    """
    left, right = _summed_dims(a, b, dims)
    for i, j in zip(left, right, strict=True):
        m, n = a.array.shape[i], b.array.shape[j]
        if m == 1 < n:  # stretched along the other, so that is summed first
            b = b.sum(j, True, dtype=b.dtype)
        elif n == 1 < m:
            a = a.sum(i, True, dtype=a.dtype)
        elif m != n:
            raise RuntimeError(
                f"contracted dimensions need to match, but first has size {a.array.shape[i]} in dim"
                f" {i} and second has size {b.array.shape[j]} in dim {j}"
            )
    free_a = [i for i in range(a.array.ndim) if i not in left]
    free_b = [j for j in range(b.array.ndim) if j not in right]
    head = tuple(a.array.shape[i] for i in free_a)
    tail = tuple(b.array.shape[j] for j in free_b)
    inner = math.prod(a.array.shape[i] for i in left)
    check_pair(a, b)
    rows = in_shape(permute_axes(a, (*free_a, *left)), (math.prod(head), inner))
    columns = in_shape(permute_axes(b, (*right, *free_b)), (inner, math.prod(tail)))
    result = reshape_array(matrix_product(rows, columns), (*head, *tail))
    return result if out is None else write_out(result, out)


def _summed_dims(a: Any, b: Any, dims: Any) -> tuple[list[int], list[int]]:
    if hasattr(dims, "array"):
        dims = dims.tolist()
    if isinstance(dims, int):
        if dims < 0 or dims > min(a.array.ndim, b.array.ndim):
            raise RuntimeError(f"tensordot expects dims >= 0, but got dims={dims}")
        return list(range(a.array.ndim - dims, a.array.ndim)), list(range(dims))
    left, right = ([d] if isinstance(d, int) else list(d) for d in dims)
    if len(left) != len(right):
        raise RuntimeError("both dimension lists should have same length")
    return [axis_of(d, a.array.ndim) for d in left], [axis_of(d, b.array.ndim) for d in right]


def chain_matmul(*matrices: Any, out: Any = None) -> Any:
    """The product of several matrices, in the order that needs the fewest multiplications."""
    xs = list(matrices[0] if len(matrices) == 1 and isinstance(matrices[0], list) else matrices)
    if not xs:
        raise RuntimeError("chain_matmul(): Expected one or more matrices")
    for i, x in enumerate(xs):
        check_dims("chain_matmul", f"Tensor number {i}", x, 2)
    result = product_of(xs)
    return result if out is None else write_out(result, out)


def product_of(xs: list[Any]) -> Any:
    """The product of matrices, in the order that needs the fewest multiplications."""
    sizes = [x.array.shape[0] for x in xs] + [xs[-1].array.shape[1]]
    cuts = _best_cuts(sizes)

    def product(i: int, j: int) -> Any:
        return xs[i] if i == j else mm(product(i, cuts[i, j]), product(cuts[i, j] + 1, j))

    return product(0, len(xs) - 1)


def _best_cuts(sizes: list[int]) -> dict[tuple[int, int], int]:
    """Where to cut each run of matrices so that the whole product costs least."""
    n = len(sizes) - 1
    cost = {(i, i): 0 for i in range(n)}
    cuts = {}
    for length in range(1, n):
        for i in range(n - length):
            j = i + length
            price = {
                k: cost[i, k] + cost[k + 1, j] + sizes[i] * sizes[k + 1] * sizes[j + 1]
                for k in range(i, j)
            }
            cuts[i, j] = min(price, key=price.__getitem__)
            cost[i, j] = price[cuts[i, j]]
    return cuts
