"""PyTorch as the oracle: what a row of an op table promises, and how it is held to it.

A family of ops is a list of rows, and a row is a name that both libraries know, with a hypothesis
strategy of its arguments:

    ROWS = [
        Row("add", two(), inplace=True, out=True, kwargs=one_of({}, {"alpha": 2})),
        Row("sum", one(FLOATS, dims=True), out=True),
        Row("cat", call(several(FLOATS), integers(-1, 1))),
    ]

and a test file holds every row to every law:

    @pytest.mark.parametrize("row", ROWS, ids=str)
    def test_values(row):
        hold(row, same_outcome)

The strategies are those of `recipes.py`: tensors are drawn as recipes (`Array`), so both libraries
get the same values, dtype, shape and strides. The laws: `same_outcome` (values, dtype, shape, or
the type of the exception), `same_method`, `same_inplace`, `same_out`, and `same_gradients` (first
and second, in float64).
"""

from __future__ import annotations

import dataclasses
import operator
import warnings
from collections.abc import Callable
from typing import Any

import hypothesis
import hypothesis.strategies as st
import numpy

import core
from core.autograd.sweep import grad as core_grad
from tests.parity.recipes import FLOATS, Array, Call, build, torch

# What torch.testing.assert_close allows between two results of one computation.
TOLERANCE = {
    "float64": (1e-7, 1e-7), "float32": (1.3e-6, 1e-5), "float16": (1e-3, 1e-5),
    "bfloat16": (1.6e-2, 1e-5),
}  # fmt: skip


# ---- rows -------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Row:
    """One op: its name in both libraries, its arguments, and the forms it has.

    `grad` is how many times it is differentiated in float64; `method`, `inplace` and `out` say
    which forms there are; `of` finds the function where it is not an attribute of both modules.
    """

    name: str
    args: st.SearchStrategy[Call]
    kwargs: st.SearchStrategy[dict[str, Any]] | None = None
    grad: int = 2
    method: bool = True
    inplace: bool = False
    out: bool = False
    examples: int = 25
    grad_values: tuple[str, ...] = ("plain", "grid")
    tolerance: tuple[float, float] | None = None
    of: Callable[[Any], Callable[..., Any]] | None = None

    def __str__(self) -> str:
        return self.name

    def function(self, module: Any) -> Callable[..., Any]:
        """The function of this row in `torch` or in `core`."""
        return self.of(module) if self.of else operator.attrgetter(self.name)(module)

    def calls(self) -> st.SearchStrategy[Call]:
        """The calls of this row."""
        if self.kwargs is None:
            return self.args
        return st.builds(lambda c, more: Call(c.args, c.kwargs | more), self.args, self.kwargs)


def hold(row: Row, law: Callable[[Row, Call], None]) -> None:
    """Hold a row to a law on as many drawn calls as the row asks for."""

    @hypothesis.settings(
        max_examples=row.examples,
        suppress_health_check=list(hypothesis.HealthCheck),
        phases=[hypothesis.Phase.generate, hypothesis.Phase.shrink],
    )
    @hypothesis.given(row.calls())
    def held(drawn: Call) -> None:
        law(row, drawn)

    held()


# ---- laws -------------------------------------------------------------------------------------

# PyTorch has no kernel of every op for the half types; that is not the op's meaning.
UNSUPPORTED = ("not implemented for 'Half'", "not implemented for 'BFloat16'")
# What only shows in the values: a GPU is not waited for to look at them, here as there.
UNSEEN_ON_A_GPU = ("ZeroDivisionError", "out of bounds", "out of range")


def outcome(function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """What a call returns, or the exception it raises."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return function(*args, **kwargs)
    except Exception as error:
        return error


def agree(row: Row, expected: Any, actual: Any) -> bool:
    """Whether both calls returned; both raising alike is fine, one raising alone is a failure."""
    if isinstance(expected, Exception):
        if any(text in str(expected) for text in UNSUPPORTED):
            return False
        unseen = core.get_default_device().type == "cuda"
        if unseen and any(text in str(expected) for text in UNSEEN_ON_A_GPU):
            return False
        assert isinstance(actual, Exception), (
            f"{row.name}: PyTorch raises {expected!r}, here is {actual}"
        )
        assert isinstance(actual, type(expected)), (
            f"{row.name}: PyTorch raises {expected!r}, here it is {actual!r}"
        )
        return False
    if isinstance(actual, Exception):
        raise AssertionError(f"{row.name}: PyTorch returns {expected}") from actual
    return True


def same(row: Row, expected: Any, actual: Any) -> None:
    """Hold a result, or the parts of it, to PyTorch's."""
    if isinstance(expected, torch.Tensor):
        same_tensor(row, expected, actual)
    elif isinstance(expected, (tuple, list)):
        assert isinstance(actual, type(expected).__mro__[-2]), (row.name, type(actual))
        assert len(actual) == len(expected)
        for name in getattr(actual, "_fields", ()):
            at = actual._fields.index(name)
            assert getattr(expected, name) is expected[at], f"{row.name} has no field {name}"
        for x, y in zip(expected, actual, strict=True):
            same(row, x, y)
    else:
        assert type(actual) is type(expected), (row.name, expected, actual)
        assert actual == expected or (actual != actual and expected != expected)


def same_tensor(row: Row, expected: Any, actual: Any) -> None:
    """Hold dtype, shape, order in memory and values of one tensor to PyTorch's."""
    assert isinstance(actual, core.Tensor), (row.name, type(actual))
    assert str(actual.dtype) == str(expected.dtype).replace("torch", "core")
    assert tuple(actual.shape) == tuple(expected.shape)
    if expected.is_contiguous():  # so that what may be viewed there may be viewed here
        assert actual.is_contiguous(), f"{row.name}: strides {actual.stride()}"
    assert min(actual.stride(), default=0) >= 0
    name = str(actual.dtype).removeprefix("core.")
    x, y = as_numpy(expected), as_numpy(actual)
    if name in TOLERANCE:
        rtol, atol = row.tolerance or TOLERANCE[name]
        numpy.testing.assert_allclose(y, x, rtol, atol, equal_nan=True, err_msg=row.name)
    else:
        numpy.testing.assert_array_equal(y, x, err_msg=row.name)


def as_numpy(x: Any) -> numpy.ndarray:
    """The values of a tensor of either library, floating ones in float64."""
    x = x.detach()
    if x.dtype.is_floating_point:
        x = x.double()
    return x.numpy(force=True)


def same_outcome(row: Row, drawn: Call) -> None:
    """The function returns what PyTorch's returns, or raises the type of exception it raises."""
    args, kwargs = drawn.build("torch")
    expected = outcome(row.function(torch), args, kwargs)
    args, kwargs = drawn.build("core")
    actual = outcome(row.function(core), args, kwargs)
    if agree(row, expected, actual):
        same(row, expected, actual)


def same_method(row: Row, drawn: Call) -> None:
    """The method of the first argument returns what the function returns."""
    name = row.name.rsplit(".", 1)[-1]
    args, kwargs = drawn.build("torch")
    expected = outcome(getattr(args[0], name), args[1:], kwargs)
    args, kwargs = drawn.build("core")
    actual = outcome(getattr(args[0], name), args[1:], kwargs)
    if agree(row, expected, actual):
        same(row, expected, actual)


def same_inplace(row: Row, drawn: Call) -> None:
    """The form `name_` writes into the tensor itself what PyTorch's writes, and returns it."""
    name = row.name.rsplit(".", 1)[-1] + "_"
    args, kwargs = drawn.build("torch")
    expected = outcome(getattr(args[0], name), args[1:], kwargs)
    args, kwargs = drawn.build("core")
    strides = args[0].stride()
    actual = outcome(getattr(args[0], name), args[1:], kwargs)
    if agree(row, expected, actual):
        assert actual is args[0]
        assert actual.stride() == strides
        same(row, expected, actual)


def same_out(row: Row, drawn: Call) -> None:
    """`out=` fills and returns the given tensors, of the right dtype or of float64."""
    args, kwargs = drawn.build("torch")
    plain = outcome(row.function(torch), args, kwargs)
    if isinstance(plain, Exception):
        return
    for wide in (False, True):
        args, kwargs = drawn.build("torch")
        out = target(plain, torch, wide)
        expected = outcome(row.function(torch), args, kwargs | {"out": out})
        if wide and isinstance(expected, Exception):
            continue  # some ops there insist on the dtype of the result
        args, kwargs = drawn.build("core")
        out = target(plain, core, wide)
        actual = outcome(row.function(core), args, kwargs | {"out": out})
        if agree(row, expected, actual):
            for x, y in zip(out, actual) if isinstance(out, tuple) else [(out, actual)]:
                assert x is y
            same(rough(row, plain), expected, actual)


def rough(row: Row, plain: Any) -> Row:
    """The row with the tolerance of the dtype that it computes in."""
    first = flat(plain)[0]
    name = str(first.dtype).removeprefix("torch.")
    return dataclasses.replace(row, tolerance=row.tolerance or TOLERANCE.get(name))


def target(like: Any, module: Any, wide: bool) -> Any:
    """Empty tensors to be filled, as `like`; the float ones of them in float64 where `wide`."""
    if isinstance(like, (tuple, list)):
        return tuple(target(x, module, wide) for x in like)
    name = str(like.dtype).removeprefix("torch.")
    name = "float64" if wide and like.dtype.is_floating_point else name
    return module.zeros(tuple(like.shape), dtype=getattr(module, name))


# ---- gradients --------------------------------------------------------------------------------


def in_float64(value: Any, values: tuple[str, ...]) -> Any:
    """The recipe with its floating tensors in float64 and without NaN and infinities."""
    if isinstance(value, Array) and value.dtype in FLOATS:
        kind = value.values if value.values in values else values[0]
        return dataclasses.replace(value, dtype="float64", values=kind)
    if isinstance(value, (list, tuple)):
        return type(value)(in_float64(v, values) for v in value)
    return value


def same_gradients(row: Row, drawn: Call) -> None:
    """First and second gradients, for random weights on the results, are PyTorch's."""
    args = tuple(in_float64(a, row.grad_values) for a in drawn.args)
    kwargs = {k: in_float64(v, row.grad_values) for k, v in drawn.kwargs.items()}
    drawn = Call(args, kwargs)
    expected = gradients(row, drawn, "torch")
    if expected is None:
        return
    actual = gradients(row, drawn, "core")
    assert actual is not None, f"{row.name}: PyTorch returns gradients"
    for order, (xs, ys) in enumerate(zip(expected, actual, strict=True), 1):
        for x, y in zip(xs, ys, strict=True):
            rtol, atol = row.tolerance or TOLERANCE["float64"]
            numpy.testing.assert_allclose(
                y, x, rtol, atol, err_msg=f"{row.name}: gradient of order {order}"
            )


def gradients(row: Row, drawn: Call, library: str) -> list[list[numpy.ndarray]] | None:
    """The gradients of each order; None where the call raises or nothing is differentiable."""
    module, of = (torch, torch_grad) if library == "torch" else (core, core_grad)
    args, kwargs = drawn.build(library, grad=True)
    leaves = found_leaves([args, list(kwargs.values())])
    result = outcome(row.function(module), args, kwargs)
    if isinstance(result, Exception):
        if library == "core":
            raise result
        return None
    outs = [x for x in flat(result) if getattr(x, "requires_grad", False)]
    if not outs or not leaves:
        return None
    orders = []
    for order in range(row.grad):
        weights = [weight(x, i, library) for i, x in enumerate(outs)]
        found = of(outs, leaves, weights, retain_graph=True, create_graph=True)
        zeros = [numpy.zeros(tuple(x.shape)) for x in leaves]
        orders.append([z if g is None else as_numpy(g) for z, g in zip(zeros, found)])
        outs = [g for g in found if g is not None and g.requires_grad]
        if not outs:
            orders += [zeros] * (row.grad - order - 1)
            break
    return orders


def torch_grad(outs: Any, leaves: Any, weights: Any, **kwargs: Any) -> Any:
    """PyTorch's gradients, None for a leaf that is not reached."""
    return torch.autograd.grad(outs, leaves, weights, allow_unused=True, **kwargs)


def weight(x: Any, i: int, library: str) -> Any:
    """Random weights in the shape of a result, the same for both libraries."""
    recipe = Array(tuple(x.shape), "float64", seed=100 + i, low=0.5, high=2.0)
    return build(recipe, library)


def flat(value: Any) -> list[Any]:
    """The tensors in a result."""
    if isinstance(value, (list, tuple)):
        return [x for part in value for x in flat(part)]
    return [value]


def found_leaves(value: Any) -> list[Any]:
    """The tensors among the arguments that require grad."""
    return [x for x in flat(value) if getattr(x, "requires_grad", False)]
