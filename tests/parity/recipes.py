"""Arguments for both libraries, as recipes of values, dtype, shape and strides; and strategies."""

from __future__ import annotations

import dataclasses
import operator
from typing import Any

import hypothesis.strategies as st
import ml_dtypes
import numpy
import pytest

torch = pytest.importorskip("torch", reason="the oracle: pip install unison-ddp[parity]")

import core  # noqa: E402 - after the skip

FLOATS = ("float32", "float64", "float16", "bfloat16")
WIDE = ("float32", "float64")  # where PyTorch computes in another precision than the type's own
INTEGERS = ("uint8", "int8", "int16", "int32", "int64")
BOOLS = ("bool",)
ALL = (*FLOATS, *INTEGERS, *BOOLS)
SIZES = ((), (3,), (0,), (1,), (2, 3), (4, 1), (2, 0), (2, 1, 3), (3, 2, 2))
PAIRS = (
    ((), ()), ((3,), (3,)), ((2, 3), (2, 3)), ((2, 3), (3,)), ((2, 3), ()), ((), (4,)),
    ((3, 1), (1, 4)), ((2, 1, 3), (4, 1)), ((0,), (1,)), ((2, 0), (2, 1)), ((0, 3), (3,)),
    ((2, 3), (4,)), ((2,), (3, 3)),
)  # fmt: skip
LAYOUTS = ("plain", "plain", "transposed", "strided", "offset")


# ---- arguments, as recipes --------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Array:
    """A tensor to be made for either library.

    `values`: "plain" draws from [low, high]; "grid" from whole numbers, so that ties are common;
    "special" puts NaN, infinities and both zeros among them; "sorted" puts the last dim in order.
    """

    shape: tuple[int, ...] = ()
    dtype: str = "float64"
    layout: str = "plain"
    values: str = "plain"
    seed: int = 0
    low: float = -4.0
    high: float = 4.0
    grad: bool = True

    def base(self) -> numpy.ndarray:
        """The memory behind the tensor, in the order in which it lies."""
        shape = self.shape
        if shape and self.layout == "transposed":
            shape = shape[::-1]
        elif shape and self.layout == "strided":
            shape = (*shape[:-1], 2 * shape[-1])
        elif shape and self.layout == "offset":
            shape = (shape[0] + 1, *shape[1:])
        return self.drawn(shape)

    def drawn(self, shape: tuple[int, ...]) -> numpy.ndarray:
        rng = numpy.random.default_rng(self.seed)
        if self.dtype == "bool":
            return rng.integers(0, 2, shape).astype(bool)
        if self.dtype in INTEGERS:
            low, high = int(max(self.low, -100)), int(min(self.high, 100))
            wide = self.values == "special"
            limits = numpy.iinfo(self.dtype)
            low, high = (limits.min, limits.max) if wide else (max(low, limits.min), high)
            return self.ordered(
                rng.integers(low, high, shape, numpy.dtype(self.dtype), endpoint=True)
            )
        x = rng.uniform(self.low, self.high, shape)
        if self.values == "grid":
            x = numpy.asarray(numpy.clip(numpy.round(x), self.low, self.high))
        if self.values == "special":
            odd = numpy.array([numpy.nan, numpy.inf, -numpy.inf, 0.0, -0.0, 1.0])
            x = numpy.where(rng.random(shape) < 0.5, rng.choice(odd, shape), x)
        x = self.ordered(x)
        return x.astype(ml_dtypes.bfloat16 if self.dtype == "bfloat16" else self.dtype)

    def ordered(self, x: numpy.ndarray) -> numpy.ndarray:
        """The memory, in order where that is asked; layouts but the plain one break it."""
        return numpy.sort(x, -1) if self.values == "sorted" and x.ndim else x

    def viewed(self, x: Any) -> Any:
        """The view of the memory that has the asked layout."""
        if not self.shape or self.layout == "plain":
            return x
        if self.layout == "transposed":
            return x.permute(*reversed(range(len(self.shape))))
        return x[..., ::2] if self.layout == "strided" else x[1:]

    def torch(self, grad: bool = False) -> Any:
        """The tensor of PyTorch."""
        base = self.base()
        if self.dtype == "bfloat16":
            x = torch.from_numpy(base.astype("float32")).to(torch.bfloat16)
        else:
            x = torch.from_numpy(base)
        return self.leaf(self.viewed(x), grad)

    def core(self, grad: bool = False) -> Any:
        """The tensor of ours."""
        x = core.from_numpy(self.base()).to(core.get_default_device())
        return self.leaf(self.viewed(x), grad)

    def leaf(self, x: Any, grad: bool) -> Any:
        wanted = grad and self.grad and self.dtype in FLOATS
        return x.detach().requires_grad_() if wanted else x


@dataclasses.dataclass(frozen=True)
class Named:
    """Something that both libraries have under one name: a dtype, a function."""

    name: str

    def of(self, module: Any) -> Any:
        return operator.attrgetter(self.name)(module)


@dataclasses.dataclass(frozen=True)
class Call:
    """Arguments of one call, with recipes where tensors stand, also inside lists and tuples."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any] = dataclasses.field(default_factory=dict)

    def build(self, library: str, grad: bool = False) -> tuple[list[Any], dict[str, Any]]:
        """The arguments for one library, tensors made anew."""
        made = [build(a, library, grad) for a in self.args]
        return made, {k: build(v, library, grad) for k, v in self.kwargs.items()}


def build(value: Any, library: str, grad: bool = False) -> Any:
    """`value` with recipes replaced by tensors of the library ("torch" or "core")."""
    if isinstance(value, Array):
        return getattr(value, library)(grad)
    if isinstance(value, Named):
        return value.of(torch if library == "torch" else core)
    if isinstance(value, (list, tuple)):
        return type(value)(build(v, library, grad) for v in value)
    return value


# ---- strategies -------------------------------------------------------------------------------


def one_of(*values: Any) -> st.SearchStrategy[Any]:
    """One of the values."""
    return st.sampled_from(values)


SEEDS = st.integers(0, 10_000)
VALUES = ("plain", "grid", "special")


@st.composite
def array(
    draw: Any,
    dtypes: Any = ALL,
    shapes: Any = SIZES,
    low: float = -4.0,
    high: float = 4.0,
    values: Any = VALUES,
    grad: bool = True,
) -> Array:
    """A recipe with one of the dtypes and shapes."""
    values = draw(st.sampled_from(values))
    return Array(
        draw(st.sampled_from(shapes)),
        draw(st.sampled_from(dtypes)),
        "plain" if values == "sorted" else draw(st.sampled_from(LAYOUTS)),
        values,
        draw(SEEDS),
        low,
        high,
        grad,
    )


@st.composite
def call(draw: Any, *args: Any, **kwargs: Any) -> Call:
    """A call: each argument a strategy, or the value itself."""

    def drawn(value: Any) -> Any:
        return draw(value) if isinstance(value, st.SearchStrategy) else value

    return Call(tuple(drawn(a) for a in args), {k: drawn(v) for k, v in kwargs.items()})


@st.composite
def one(draw: Any, dtypes: Any = ALL, dims: bool = False, **more: Any) -> Call:
    """One tensor; with `dims` also, at times, `dim` (in range or one beyond) and `keepdim`."""
    x = draw(array(dtypes, **more))
    return Call((x,), draw(dim_and_keepdim(len(x.shape))) if dims else {})


@st.composite
def dim_and_keepdim(draw: Any, ndim: int, always: bool = False) -> dict[str, Any]:
    """`dim` (one beyond the range included) and `keepdim`, or neither."""
    if not always and draw(st.booleans()):
        return {}
    n = max(ndim, 1)
    found = {"dim": draw(st.integers(-n - 1, n))}
    return found | ({"keepdim": True} if draw(st.booleans()) else {})


@st.composite
def along(draw: Any, dtypes: Any = ALL, keepdim: bool = False, **more: Any) -> Call:
    """A tensor and a `dim`, always; in range but for one time in ten."""
    x = draw(array(dtypes, **more))
    n = max(len(x.shape), 1)
    dim = draw(st.integers(-n, n - 1)) if draw(st.integers(0, 9)) else n
    kwargs: dict[str, Any] = {"dim": dim}
    return Call((x,), kwargs | ({"keepdim": draw(st.booleans())} if keepdim else {}))


@st.composite
def two(draw: Any, dtypes: Any = ALL, scalars: bool = True, pairs: Any = PAIRS, **more: Any) -> Any:
    """Two tensors of any two dtypes that broadcast (or, rarely, do not); or one and a number."""
    first, second = draw(st.sampled_from(pairs))
    a = draw(array(dtypes, (first,), **more))
    if scalars and draw(st.integers(0, 3)) == 0:
        low, high = a.low, a.high
        number = draw(one_of(max(2, low), min(3, high), (low + high) / 2 + 0.5, True, int(low)))
        return Call((a, number))
    same = draw(st.booleans())
    return Call((a, draw(array((a.dtype,) if same else dtypes, (second,), **more))))


@st.composite
def several(draw: Any, dtypes: Any = ALL, count: int = 3, **more: Any) -> Any:
    """A list of tensors of one shape."""
    first = draw(array(dtypes, **more))
    rest = draw(st.integers(0, count - 1))
    return [first] + [draw(array(dtypes, (first.shape,), **more)) for _ in range(rest)]


@st.composite
def same_shape(draw: Any, dtypes: Any = ALL, count: int = 2, *rest: Any, **more: Any) -> Call:
    """So many tensors of one dtype that broadcast, and what follows them."""
    first, second = draw(st.sampled_from([p for p in PAIRS if p[0] != (2, 3) or p[1] != (4,)]))
    dtype = draw(st.sampled_from(dtypes))
    shapes = [first, second, second][:count]
    args = [draw(array((dtype,), (shape,), **more)) for shape in shapes]
    return Call((*args, *rest))
