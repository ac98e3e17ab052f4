"""Initial values of parameters, written into a tensor: the distributions of `torch.nn.init`."""

from __future__ import annotations

import contextlib
import functools
import math
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy

from core import random
from core.autograd.place import where_it_lies
from core.autograd.value import version_of
from core.backend import device_of, on, to_host, write, xp


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor by which weights before a nonlinearity are scaled up.

    Raises: ValueError for a name that is not known.
    """
    fixed = {"tanh": 5.0 / 3, "relu": math.sqrt(2.0), "selu": 3.0 / 4, "sigmoid": 1.0}
    linear = "linear conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d"
    if nonlinearity in linear.split():
        return 1.0
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        if isinstance(slope, bool) or not isinstance(slope, (int, float)):
            raise ValueError(f"negative_slope {param} not a valid number")
        return math.sqrt(2.0 / (1 + slope**2))
    if nonlinearity not in fixed:
        raise ValueError(f"Unsupported nonlinearity {nonlinearity}")
    return fixed[nonlinearity]


class _Draws(threading.local):
    wanted = True


_draws = _Draws()


@contextlib.contextmanager
def left_out() -> Iterator[None]:
    """A context in which this thread fills no tensor and draws no number."""
    before, _draws.wanted = _draws.wanted, False
    try:
        yield
    finally:
        _draws.wanted = before


def _filled(tensor: Any, values: Any) -> Any:
    if not _draws.wanted:
        return tensor
    write(tensor.array, values)
    version_of(tensor)[0] += 1
    return tensor


def _drawn(tensor: Any, draw: Callable[..., Any], generator: Any, *bounds: float) -> Any:
    """`tensor` filled with what `draw` makes of the next key."""
    if not _draws.wanted:
        return tensor
    array = tensor.array
    key = (generator or random.default_generator()).reserve()
    with on(device_of(array)):
        values = draw(key, array.shape, array.dtype, *bounds, xp=xp(array))
    return _filled(tensor, values)


# ---- plain values -----------------------------------------------------------------------------


def uniform_(tensor: Any, a: float = 0.0, b: float = 1.0, generator: Any = None) -> Any:
    """`tensor` filled from the uniform distribution on [a, b)."""
    return _drawn(tensor, random.uniform, generator, a, b)


def normal_(tensor: Any, mean: float = 0.0, std: float = 1.0, generator: Any = None) -> Any:
    """`tensor` filled from the normal distribution."""
    return _drawn(tensor, random.normal, generator, mean, std)


def trunc_normal_(
    tensor: Any,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Any = None,
) -> Any:
    """`tensor` filled from the normal distribution, without what lies outside [a, b]."""

    def draw(key: Any, shape: Any, dtype: Any, xp: Any) -> Any:
        outside, extra = True, 0
        values: Any = None
        wrong: Any = None
        while outside:
            again = random.normal(
                key._replace(stream=key.stream + (extra << 32)), shape, "float64", mean, std
            )
            values = again if values is None else numpy.where(wrong, again, values)
            wrong = (values < a) | (values > b)
            outside, extra = bool(wrong.any()), extra + 1
        return xp.asarray(values.astype(dtype))

    return _drawn(tensor, draw, generator)


def constant_(tensor: Any, val: float) -> Any:
    """`tensor` filled with one value."""
    return _filled(tensor, val)


def ones_(tensor: Any) -> Any:
    """`tensor` filled with ones."""
    return _filled(tensor, 1)


def zeros_(tensor: Any) -> Any:
    """`tensor` filled with zeros."""
    return _filled(tensor, 0)


@where_it_lies
def eye_(tensor: Any) -> Any:
    """A matrix with ones on its diagonal.

    Raises: ValueError unless `tensor` has two dims.
    """
    if tensor.ndim != 2:
        raise ValueError("Only tensors with 2 dimensions are supported")
    return _filled(tensor, xp(tensor.array).eye(*tensor.shape))


@where_it_lies
def dirac_(tensor: Any, groups: int = 1) -> Any:
    """Convolution weights that pass as many channels through as there are.

    Raises: ValueError unless `tensor` has 3, 4 or 5 dims, or the groups do not divide it.
    """
    if tensor.ndim not in (3, 4, 5):
        raise ValueError("Only tensors with 3, 4, or 5 dimensions are supported")
    if tensor.shape[0] % groups:
        raise ValueError("dim 0 must be divisible by groups")
    each = tensor.shape[0] // groups
    _filled(tensor, 0)
    middle = tuple(n // 2 for n in tensor.shape[2:])
    for g in range(groups):
        for d in range(min(each, tensor.shape[1])):
            tensor.array[(g * each + d, d, *middle)] = 1
    return tensor


# ---- scaled to the layer ----------------------------------------------------------------------


def fans(tensor: Any) -> tuple[int, int]:
    """How many inputs and outputs one weight of a layer meets.

    Raises: ValueError for fewer than two dims.
    """
    shape = tuple(tensor.shape)
    if len(shape) < 2:
        raise ValueError(
            "Fan in and fan out can not be computed for tensor with fewer than 2 dimensions"
        )
    field = math.prod(shape[2:])
    return shape[1] * field, shape[0] * field


_calculate_fan_in_and_fan_out = fans  # programs call it by PyTorch's private name


def xavier_uniform_(tensor: Any, gain: float = 1.0, generator: Any = None) -> Any:
    """`tensor` filled uniformly, scaled to the mean of inputs and outputs.

    Source: Glorot & Bengio (2010).
    """
    bound = gain * math.sqrt(6.0 / (fans(tensor)[0] + fans(tensor)[1]))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Any, gain: float = 1.0, generator: Any = None) -> Any:
    """`tensor` filled normally, scaled to the mean of inputs and outputs."""
    std = gain * math.sqrt(2.0 / (fans(tensor)[0] + fans(tensor)[1]))
    return normal_(tensor, 0.0, std, generator)


def _kaiming_std(tensor: Any, a: float, mode: str, nonlinearity: str) -> float:
    if mode.lower() not in ("fan_in", "fan_out"):
        raise ValueError(f"Mode {mode} not supported, please use one of ['fan_in', 'fan_out']")
    fan = fans(tensor)[mode.lower() == "fan_out"]
    return calculate_gain(nonlinearity, a) / math.sqrt(fan)


def kaiming_uniform_(
    tensor: Any,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Any = None,
) -> Any:
    """`tensor` filled uniformly, scaled to what a rectifier passes on.

    Source: He, Zhang, Ren & Sun (2015).
    """
    if 0 in tensor.shape:
        return tensor
    bound = math.sqrt(3.0) * _kaiming_std(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Any,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Any = None,
) -> Any:
    """`tensor` filled normally, scaled to what a rectifier passes on."""
    if 0 in tensor.shape:
        return tensor
    return normal_(tensor, 0.0, _kaiming_std(tensor, a, mode, nonlinearity), generator)


@where_it_lies
def orthogonal_(tensor: Any, gain: float = 1, generator: Any = None) -> Any:
    """`tensor` filled so that its rows, or its columns, are orthogonal and of length `gain`.

    Source: Saxe, McClelland & Ganguli (2013).
    """
    if tensor.ndim < 2:
        raise ValueError("Only tensors with 2 or more dimensions are supported")
    if not tensor.numel():
        return tensor
    rows, columns = tensor.shape[0], tensor.numel() // tensor.shape[0]
    key = (generator or random.default_generator()).reserve()
    drawn = random.normal(key, (max(rows, columns), min(rows, columns)), "float64")
    q, r = numpy.linalg.qr(drawn)
    q = q * numpy.sign(numpy.diag(r))
    q = q.T if rows < columns else q
    values = (gain * q).reshape(tuple(tensor.shape)).astype(to_host(tensor.array).dtype)
    return _filled(tensor, xp(tensor.array).asarray(values))


@where_it_lies
def sparse_(tensor: Any, sparsity: float, std: float = 0.01, generator: Any = None) -> Any:
    """A matrix filled normally, of which the fraction `sparsity` of each column is zero."""
    if tensor.ndim != 2:
        raise ValueError("Only tensors with 2 dimensions are supported")
    normal_(tensor, 0.0, std, generator)
    zeros = math.ceil(sparsity * tensor.shape[0])
    for column in range(tensor.shape[1]):
        key = (generator or random.default_generator()).reserve()
        chosen = random.permutation(key, tensor.shape[0])[:zeros]
        tensor.array[xp(tensor.array).asarray(chosen), column] = 0
    return tensor


# ---- the names before the underscore meant in place --------------------------------------------


def _old(new: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(new)
    def old(*args: Any, **kwargs: Any) -> Any:
        name = new.__name__.rstrip("_")
        text = f"`nn.init.{name}` is now deprecated in favor of `nn.init.{name}_`."
        warnings.warn(text, FutureWarning, stacklevel=2)
        return new(*args, **kwargs)

    return old


uniform, normal, constant = _old(uniform_), _old(normal_), _old(constant_)
eye, dirac = _old(eye_), _old(dirac_)
xavier_uniform, xavier_normal = _old(xavier_uniform_), _old(xavier_normal_)
kaiming_uniform, kaiming_normal = _old(kaiming_uniform_), _old(kaiming_normal_)
orthogonal, sparse = _old(orthogonal_), _old(sparse_)
