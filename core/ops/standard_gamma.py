"""Draws from gamma distributions, with the gradient of what they were drawn for."""

from __future__ import annotations

from typing import Any

import numpy

from core import random
from core.autograd.dispatch import primitive
from core.autograd.op import underived
from core.autograd.place import where_it_lies
from core.autograd.value import wrap
from core.backend import xp
from core.dtype import finfo, of
from core.ops.gamma import digamma
from core.ops.incomplete import MOST_TERMS
from core.ops.special import in_float64

_ENOUGH = 1e6  # from here on a gamma number is the cube of a normal one, but for one part in 1e9


@where_it_lies
def standard_gamma(concentration: Any) -> Any:
    """A gamma number of rate 1 for each concentration, differentiable in it, never zero.

    Source: Marsaglia & Tsang (2000); gradients: Figurnov, Mohamed & Mnih (2018).
    """
    a = concentration.array
    module = xp(a)
    drawn = _drawn(a.astype(numpy.dtype("float64")), random.default_generator(), module)
    drawn = module.maximum(drawn, finfo(of(a.dtype)).tiny).astype(a.dtype)
    return _standard_gamma(wrap(drawn), concentration)


def _drawn(a: Any, generator: Any, module: Any) -> Any:
    """Numbers of concentration 1 or more, and powers of uniform ones that make them of less."""
    flat = a.reshape(-1)
    d = module.where(flat < 1, flat + 1, flat) - 1 / 3
    out, open_ = module.empty(flat.shape), module.arange(flat.size)
    while open_.size:  # at most one in twenty is refused
        x = random.normal(generator.reserve(), open_.shape, numpy.float64, xp=module)
        u = random.uniform(generator.reserve(), open_.shape, numpy.float64, xp=module)
        here = d[open_]
        cube = (1 + x / module.sqrt(9 * here)) ** 3
        v = module.maximum(cube, 1e-300)
        bound = 0.5 * x * x + here * (1 - v + module.log(v))
        taken = (cube > 0) & (module.log(1 - u) < bound)
        out[open_[taken]] = (here * v)[taken]
        open_ = open_[~taken]
    u = 1 - random.uniform(generator.reserve(), flat.shape, numpy.float64, xp=module)
    less = module.exp(module.log(u) / module.where(flat < 1, flat, 1.0))
    return module.where(flat < 1, out * less, out).reshape(a.shape)


@primitive(name="standard_gamma")
def _standard_gamma(drawn, a):
    """The number drawn for a concentration."""
    return drawn


@primitive(name="standard_gamma_grad")
def standard_gamma_grad(drawn, a):
    """How a gamma number of rate 1 moves with its concentration, its share of all being kept."""
    return _slope(drawn, a).astype(drawn.dtype, copy=False)


_standard_gamma.defvjp(drawn=None, a=lambda g, drawn, a: g * standard_gamma_grad(drawn, a))
standard_gamma_grad.defvjp(
    drawn=underived("_standard_gamma_grad"), a=underived("_standard_gamma_grad")
)


@in_float64
def _slope(x: Any, a: Any) -> Any:
    module, a = xp(x), a.astype(numpy.dtype("float64"))
    large, below = a > _ENOUGH, x < a + 1
    near, far = ~large & below, ~large & ~below
    low = _lower(module, module.where(near, a, 1.0), module.where(near, x, 1.0))
    high = _upper(module, module.where(far, a, 1.0), module.where(far, x, 3.0))
    h = module.cbrt(module.where(large, x / a, 1.0))
    cubed = h**3 + h**2 * (1 / (3 * a) - 1.5 * (h - 1 + 1 / (9 * a)))
    return module.where(large, cubed, module.where(below, low, high))


def _lower(module: Any, a: Any, x: Any) -> Any:
    """The slope by the series of the lower share, and that of its derivative."""
    term, total = module.ones(x.shape), module.ones(x.shape)
    harmonic, by_a, n = module.zeros(x.shape), module.zeros(x.shape), 0
    while n < MOST_TERMS and bool((term * (1 + harmonic) > total * 1e-17).any()):
        n += 1
        term = term * (x / (a + n))
        harmonic = harmonic + 1 / (a + n)
        total = total + term
        by_a = by_a - term * harmonic
    return -(x / a) * (total * (module.log(x) - digamma(a + 1)) + by_a)


def _upper(module: Any, a: Any, x: Any) -> Any:
    """The slope by the continued fraction of the upper share, and its derivative.

    Lentz's method, each number followed by its derivative.
    """
    b = x + 1 - a
    c, dc = module.full(x.shape, 1e300), module.zeros(x.shape)
    d = 1 / b
    dd = d * d
    out, by_a, n, going = d, dd, 0, x == x
    while n < MOST_TERMS and bool(going.any()):
        n += 1
        b, step = b + 2, -n * (n - a)
        new = 1 / (step * d + b)
        dd = -new * new * (n * d + step * dd - 1)
        dc = n / c - step * dc / (c * c) - 1
        c, d = b + step / c, new
        factor, change = c * d, dc * d + c * dd
        by_a = module.where(going, by_a * factor + out * change, by_a)
        out = module.where(going, out * factor, out)
        small = module.abs(out * change) <= 1e-15 * module.abs(by_a)
        going = going & ~((module.abs(factor - 1) <= 1e-15) & small)
    return x * (out * (module.log(x) - digamma(a)) + by_a)
