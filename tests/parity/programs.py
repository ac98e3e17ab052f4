"""Running one program in both libraries: the same result, or the same kind of exception."""

import warnings

import numpy
import pytest

torch = pytest.importorskip("torch", reason="the oracle: pip install unison-ddp[parity]")

import core  # noqa: E402 - after the skip


class Table(dict):
    """Programs by name; calling it with a function, as a decorator, adds one."""

    def __call__(self, function):
        assert function.__name__ not in self
        self[function.__name__] = function
        return function


def plain(value):
    """A result without its library: numbers, shapes and dtypes."""
    if isinstance(value, (core.Tensor, torch.Tensor)):
        array = numpy.array(value.detach().tolist(), dtype=object)
        dtype = repr(value.dtype).split(".")[-1]
        return ("tensor", dtype, tuple(value.shape), array.tolist(), value.requires_grad)
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, (core.dtype, torch.dtype, core.device, torch.device)):
        return repr(value).split(".")[-1]
    return value


def leaf(m, *values, grad=True):
    """A leaf of float64."""
    return m.tensor(values, dtype=m.float64, requires_grad=grad)


def outcome(program, m):
    """What a program gives: its plain result, or the type of what it raises."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return plain(program(m))
        except Exception as error:
            return type(error)


def same(program):
    """Hold a program to PyTorch's outcome.

    A nearly equal float is equal: the last bit of exp or tanh is each library's own.
    """
    ours, theirs = outcome(program, core), outcome(program, torch)
    assert close(ours, theirs), f"ours: {ours}\ntheirs: {theirs}"


def close(a, b):
    if isinstance(a, float) and isinstance(b, float):
        return numpy.isclose(a, b, rtol=1e-12, atol=1e-14, equal_nan=True)
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(close(x, y) for x, y in zip(a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return list(a) == list(b) and all(close(a[k], b[k]) for k in a)
    return type(a) is type(b) and a == b
