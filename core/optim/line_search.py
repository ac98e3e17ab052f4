"""The line search of L-BFGS: a step that satisfies the strong Wolfe conditions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

SUFFICIENT, CURVATURE = 1e-4, 0.9  # Nocedal & Wright's constants for quasi-Newton methods


class Point(NamedTuple):
    """A step length, and the loss, gradient and slope found there."""

    t: Any
    loss: float
    gradient: Any
    slope: Any


def cubic_minimum(a: Point, b: Point, low: Any = None, high: Any = None) -> Any:
    """Where the cubic through two points with their slopes is least, between `low` and `high`."""
    if a.t > b.t:
        a, b = b, a
    if low is None:
        low, high = a.t, b.t
    if a.t == b.t:
        return low
    d = a.slope + b.slope - 3 * (a.loss - b.loss) / (a.t - b.t)
    square = d * d - a.slope * b.slope
    if not square >= 0:
        return (low + high) / 2.0
    root = math.sqrt(square)
    below = b.slope - a.slope + 2 * root
    least = b.t - (b.t - a.t) * ((b.slope + root - d) / below) if below else math.nan
    return min(max(least, low), high)


def strong_wolfe(
    at: Callable[[Any], Point],
    start: Point,
    t: Any,
    length: Any,
    tolerance: float,
    limit: int,
) -> tuple[Point, int]:
    """A point that satisfies the strong Wolfe conditions, and how many were evaluated.

    `at(t)` evaluates; `start` is the point at 0; `length` is the largest entry of the direction.
    Source: Nocedal & Wright (2006), algorithms 3.5 and 3.6.
    """
    bracket, done, count = _bracket(at, start, t, limit)
    if done:
        return bracket[0], count
    return _zoom(at, start, bracket, length, tolerance, limit, count)


def _bracket(
    at: Callable[[Any], Point], start: Point, t: Any, limit: int
) -> tuple[list[Point], bool, int]:
    """Points on both sides of a good one, or a good one; and how many were evaluated."""
    before, now = start, at(t)
    tries = 0
    while tries < limit:
        worse = tries > 1 and now.loss >= before.loss
        if now.loss > start.loss + SUFFICIENT * now.t * start.slope or worse:
            return [before, now], False, tries + 1
        if abs(now.slope) <= -CURVATURE * start.slope:
            return [now], True, tries + 1
        if now.slope >= 0:
            return [before, now], False, tries + 1
        low, high = now.t + 0.01 * (now.t - before.t), now.t * 10
        after = cubic_minimum(before, now, low, high)
        before, now = now, at(after)
        tries += 1
    return [start, now], False, tries + 1


def _zoom(
    at: Callable[[Any], Point],
    start: Point,
    bracket: list[Point],
    length: Any,
    tolerance: float,
    limit: int,
    count: int,
) -> tuple[Point, int]:
    """The best point of a bracket that is made smaller until a good one is found."""
    best, other = bracket if bracket[0].loss <= bracket[1].loss else bracket[::-1]
    stuck = False
    while count - 1 < limit and abs(best.t - other.t) * length >= tolerance:
        t, stuck = _inside(cubic_minimum(best, other), best.t, other.t, stuck)
        now = at(t)
        count += 1
        if now.loss > start.loss + SUFFICIENT * t * start.slope or now.loss >= best.loss:
            best, other = (best, now) if best.loss <= now.loss else (now, best)
            continue
        done = abs(now.slope) <= -CURVATURE * start.slope
        if not done and now.slope * (other.t - best.t) >= 0:
            other = best
        best = now
        if done:
            break
    return best, count


def _inside(t: Any, one: Any, two: Any, stuck: bool) -> tuple[Any, bool]:
    """The trial step, moved away from the ends of the bracket if it came near them twice."""
    low, high = min(one, two), max(one, two)
    margin = 0.1 * (high - low)
    if not min(high - t, t - low) < margin:
        return t, False
    if stuck or t >= high or t <= low:
        return (high - margin if abs(t - high) < abs(t - low) else low + margin), False
    return t, True
