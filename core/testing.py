"""Gradients held to finite differences, and tensors to each other."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy

from core.autograd.gradients import grad
from core.autograd.value import Value, wrap
from core.backend import device_of, to_device, to_host, write
from core.dtype import float64
from core.ops.creation import tensor
from core.tensor import Tensor

__all__ = ["GradcheckError", "assert_allclose", "assert_close", "gradcheck", "gradgradcheck"]


class GradcheckError(RuntimeError):
    """A gradient that differs from finite differences."""


def gradcheck(
    func: Callable[..., Any],
    inputs: Any,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    **ignored: Any,
) -> bool:
    """Whether the gradients of `func` at `inputs` are those of finite differences.

    Options of PyTorch's that choose among ways to compute this are accepted.

    Raises: GradcheckError, with both Jacobians, unless `raise_exception` is False; ValueError where
        no input requires grad.
    """
    xs = tuple(inputs) if isinstance(inputs, (tuple, list)) else (inputs,)
    checked = [x for x in xs if isinstance(x, Value) and x.requires_grad]  # type: ignore
    if not checked:
        raise ValueError(
            "gradcheck expects at least one input tensor to require gradient, but none of the them"
            " have requires_grad=True."
        )
    if any(x.dtype is not float64 for x in checked):  # type: ignore
        raise ValueError(
            "gradcheck needs inputs of float64: the differences of other types say nothing"
        )
    try:
        _compare(func, xs, checked, (eps, atol, rtol, nondet_tol))
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def gradgradcheck(
    func: Callable[..., Any], inputs: Any, grad_outputs: Any = None, **options: Any
) -> bool:
    """Whether the second gradients of `func` at `inputs` are those of finite differences.

    Raises: GradcheckError, unless `raise_exception` is False.
    """
    xs = tuple(inputs) if isinstance(inputs, (tuple, list)) else (inputs,)
    outs = _differentiable(func(*xs))
    if grad_outputs is None:
        rng = numpy.random.default_rng(0)
        gs = tuple(_like(o, rng.standard_normal(o.array.shape)).requires_grad_() for o in outs)
    else:
        gs = tuple(grad_outputs) if isinstance(grad_outputs, (tuple, list)) else (grad_outputs,)
    count = len(xs)

    def gradients(*args: Any) -> Any:
        own = [x for x in args[:count] if isinstance(x, Value) and x.requires_grad]  # type: ignore
        results = _differentiable(func(*args[:count]))
        found = grad(results, own, args[count:], create_graph=True, allow_unused=True)
        return tuple(g for g in found if g is not None and g.requires_grad)

    return gradcheck(gradients, (*xs, *gs), **options)


def _differentiable(result: Any) -> list[Any]:
    outs = result if isinstance(result, (tuple, list)) else (result,)
    return [o for o in outs if isinstance(o, Value) and o.requires_grad]  # type: ignore


def _like(x: Any, values: Any) -> Any:
    return wrap(to_device(numpy.asarray(values, x.array.dtype), device_of(x.array)))


def _compare(func: Any, xs: Any, checked: list[Any], tolerances: tuple[float, ...]) -> None:
    eps, atol, rtol, nondet = tolerances
    outs = _differentiable(func(*xs))
    for i, out in enumerate(outs):
        analytical = _analytical(out, checked)
        again = _analytical(out, checked)
        numerical = [_numerical(func, xs, x, i, out.array.size, eps) for x in checked]
        for j, (a, b, n) in enumerate(zip(analytical, again, numerical)):
            if not numpy.allclose(a, b, rtol=0, atol=nondet, equal_nan=True):
                raise GradcheckError(
                    "Backward is not reentrant, i.e., running backward with same input and"
                    " grad_output multiple times gives different values."
                )
            if not numpy.allclose(a, n, rtol=rtol, atol=atol, equal_nan=True):
                raise GradcheckError(
                    f"Jacobian mismatch for output {i} with respect to input {j},\n"
                    f"numerical:{n}\nanalytical:{a}\n"
                )


def _analytical(out: Any, inputs: list[Any]) -> list[Any]:
    """Per input the Jacobian, of shape (elements of the input, elements of the output)."""
    blocks = [numpy.zeros((x.array.size, out.array.size)) for x in inputs]
    for k in range(out.array.size):
        seed = numpy.zeros(out.array.size)
        seed[k] = 1
        g = _like(out, seed.reshape(out.array.shape))
        found = grad(out, inputs, g, retain_graph=True, allow_unused=True)
        for block, part in zip(blocks, found):
            if part is not None:
                block[:, k] = to_host(part.array).ravel()
    return blocks


def _numerical(func: Any, xs: Any, x: Any, i: int, size: int, eps: float) -> Any:
    """The Jacobian of output `i` by central differences; `x` is changed and put back."""
    block = numpy.zeros((x.array.size, size))
    places = list(numpy.ndindex(x.array.shape))
    for row, place in enumerate(places):
        before = x.array[place].item()
        ends = []
        for value in (before + eps, before - eps):
            write(x.array[(*place, ...)], value)
            ends.append(to_host(_differentiable(func(*xs))[i].array).ravel().copy())
        write(x.array[(*place, ...)], before)
        block[row] = (ends[0] - ends[1]) / (2 * eps)
    return block


# ---- closeness --------------------------------------------------------------------------------

_TOLERANCES = {
    "float16": (1e-3, 1e-5),
    "bfloat16": (1.6e-2, 1e-5),
    "float32": (1.3e-6, 1e-5),
    "float64": (1e-7, 1e-7),
}


def assert_close(
    actual: Any,
    expected: Any,
    *,
    rtol: float | None = None,
    atol: float | None = None,
    equal_nan: bool = False,
    check_device: bool = True,
    check_dtype: bool = True,
    check_stride: bool = False,
    msg: Any = None,
    **ignored: Any,
) -> None:
    """Nothing, if `actual` is close to `expected`: tensors, numbers, sequences and dicts of them.

    The tolerances are PyTorch's, by dtype.

    Raises: AssertionError that says what differs, where, and by how much.
    """
    if (rtol is None) != (atol is None):
        raise ValueError(f"rtol and atol must both be given or both not: {rtol=}, {atol=}")
    checks = (check_device, check_dtype, check_stride)
    trouble = _difference(actual, expected, (rtol, atol), equal_nan, checks)
    if trouble is not None:
        raise AssertionError(msg(trouble) if callable(msg) else msg or trouble)


def _difference(a: Any, b: Any, tolerance: Any, equal_nan: bool, checks: Any) -> str | None:
    if isinstance(a, dict) and isinstance(b, dict):
        if sorted(map(repr, a)) != sorted(map(repr, b)):
            return f"The keys of the mappings do not match: {list(a)} and {list(b)}"
        pairs = [(key, a[key], b[key]) for key in a]
    elif isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        if len(a) != len(b):
            return f"The length of the sequences mismatch: {len(a)} != {len(b)}"
        pairs = [(i, x, y) for i, (x, y) in enumerate(zip(a, b))]
    else:
        return _leaf_difference(a, b, tolerance, equal_nan, checks)
    for place, x, y in pairs:
        trouble = _difference(x, y, tolerance, equal_nan, checks)
        if trouble is not None:
            return f"{trouble}\n\nThe failure occurred for item [{place!r}]"
    return None


def _leaf_difference(a: Any, b: Any, tolerance: Any, equal_nan: bool, checks: Any) -> str | None:
    if not (isinstance(a, Tensor) and isinstance(b, Tensor)):
        if isinstance(a, Tensor) or isinstance(b, Tensor):
            kinds = f"{type(a).__name__} and {type(b).__name__}"
            return f"Only tensors compare with tensors, but got {kinds}"
        return _values_differ(numpy.asarray(a), numpy.asarray(b), tolerance, equal_nan, "Scalars")
    device, dtype, stride = checks
    if a.shape != b.shape:
        return f"The values for attribute 'shape' do not match: {a.shape} != {b.shape}."
    for wanted, name in ((device, "device"), (dtype, "dtype")):
        if wanted and getattr(a, name) != getattr(b, name):
            have = f"{getattr(a, name)} != {getattr(b, name)}"
            return f"The values for attribute '{name}' do not match: {have}."
    if stride and a.stride() != b.stride():
        return f"The values for attribute 'stride()' do not match: {a.stride()} != {b.stride()}."
    x, y = to_host(a.array), to_host(b.array)
    return _values_differ(x, y, tolerance, equal_nan, "Tensor-likes" if x.ndim else "Scalars")


def _values_differ(x: Any, y: Any, tolerance: Any, equal_nan: bool, what: str) -> str | None:
    rtol, atol = tolerance
    if rtol is None:
        known = [_TOLERANCES.get(v.dtype.name, (0.0, 0.0)) for v in (x, y)]
        rtol, atol = max(k[0] for k in known), max(k[1] for k in known)
    wide: Any = [v.astype(numpy.float64 if v.dtype.kind in "fV" else object) for v in (x, y)]
    if all(v.dtype != object for v in wide):
        close = numpy.isclose(wide[0], wide[1], rtol, atol, equal_nan=equal_nan)
    else:
        gap = numpy.abs(wide[0].astype(float) - wide[1].astype(float))
        close = (wide[0] == wide[1]) | (gap <= atol + rtol * numpy.abs(wide[1].astype(float)))
        close = close & (numpy.array(bool(atol or rtol)) | (wide[0] == wide[1]))
    if close.all():
        return None
    return _report(x.astype(float), y.astype(float), numpy.asarray(close), (rtol, atol), what)


def _report(x: Any, y: Any, close: Any, tolerance: tuple[float, float], what: str) -> str:
    gap = numpy.asarray(numpy.where(close, 0, numpy.abs(x - y)))
    ratio = numpy.asarray(gap / numpy.abs(y))
    equal = not any(tolerance)
    allowed = ["", ""] if equal else [f" (up to {t} allowed)" for t in reversed(tolerance)]
    lines = [f"{what} are not {'equal' if equal else 'close'}!", ""]
    if x.ndim == 0:
        lines.append(f"Expected {y.item()} but got {x.item()}.")
        lines.append(f"Absolute difference: {gap.item()}{allowed[0]}")
        lines.append(f"Relative difference: {ratio.item()}{allowed[1]}")
        return "\n".join(lines)
    bad = int((~close).sum())
    lines.append(f"Mismatched elements: {bad} / {close.size} ({100 * bad / close.size:.1f}%)")
    for name, values, limit in (("absolute", gap, allowed[0]), ("relative", ratio, allowed[1])):
        values = numpy.where(numpy.isnan(values), math.inf, values)
        place = tuple(int(i) for i in numpy.unravel_index(values.argmax(), values.shape))
        largest = (gap if name == "absolute" else ratio)[place]
        lines.append(f"Greatest {name} difference: {largest} at index {place}{limit}")
    return "\n".join(lines)


# By dtype, relative and absolute: looser than assert_close is.
_ALLCLOSE = {"float16": (1e-3, 1e-3), "float32": (1e-4, 1e-5), "float64": (1e-5, 1e-8)}


def assert_allclose(
    actual: Any,
    expected: Any,
    rtol: float | None = None,
    atol: float | None = None,
    equal_nan: bool = True,
    msg: str = "",
) -> None:
    """What assert_close() says of the numbers whatever their dtypes, by its old name.

    Raises: AssertionError that says what differs, where, and by how much.
    """
    text = "`assert_allclose()` is deprecated. Please use `assert_close()` instead."
    warnings.warn(text, FutureWarning, stacklevel=2)
    actual = actual if isinstance(actual, Tensor) else tensor(actual)
    expected = expected if isinstance(expected, Tensor) else tensor(expected, dtype=actual.dtype)
    if rtol is None and atol is None:
        pairs = [_ALLCLOSE.get(x.array.dtype.name, (0.0, 0.0)) for x in (actual, expected)]
        rtol, atol = (max(pair) for pair in zip(*pairs))
    assert_close(
        actual,
        expected,
        rtol=rtol,
        atol=atol,
        equal_nan=equal_nan,
        check_dtype=False,
        msg=msg or None,
    )
