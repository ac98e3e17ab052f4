"""Polynomials through exact values: how functions that NumPy lacks are computed on any array."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy
from numpy.polynomial import chebyshev

__all__: list[str] = []


def fit(function: Callable[[float], float], low: float, high: float, degree: int) -> list[float]:
    """Coefficients, highest power first, of the polynomial in t in [-1, 1] near `function`.

    t = -1 stands for `low`, t = 1 for `high`; the polynomial interpolates at Chebyshev's points.
    """
    n = degree + 1
    angles = [math.pi * (k + 0.5) / n for k in range(n)]
    values = [function(low + (high - low) * (math.cos(a) + 1) / 2) for a in angles]
    parts = [
        math.fsum(v * math.cos(j * a) for v, a in zip(values, angles)) * (1 if j == 0 else 2) / n
        for j in range(n)
    ]
    return [float(c) for c in chebyshev.cheb2poly(numpy.array(parts))[::-1]]


def polynomial(coefficients: Sequence[float], t: Any) -> Any:
    """The polynomial with these coefficients, highest power first, at each element of `t`."""
    kind = t.dtype.type
    y = t * kind(coefficients[0])
    for c in coefficients[1:-1]:
        y += kind(c)
        y *= t
    return y + kind(coefficients[-1])
