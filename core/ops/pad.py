"""Padding: more elements around a tensor, constant or taken from it."""

from __future__ import annotations

from typing import Any

from core.autograd.dispatch import primitive
from core.autograd.place import where_it_lies
from core.autograd.value import called
from core.backend import xp
from core.ops.gather import select_rows

__all__ = ["constant_pad_nd"]


@primitive(name="constant_pad_nd")
def pad_constant(x, widths, value):
    """`x` with (before, after) elements of one value around each axis; negative widths cut."""
    x = x[tuple(slice(max(-a, 0), n - max(-b, 0)) for n, (a, b) in zip(x.shape, widths))]
    full = [(max(a, 0), max(b, 0)) for a, b in widths]
    out = xp(x).full(tuple(n + a + b for n, (a, b) in zip(x.shape, full)), value, x.dtype)
    out[tuple(slice(a, a + n) for n, (a, _) in zip(x.shape, full))] = x
    return out


pad_constant.defvjp(
    x=lambda g, widths: pad_constant(g, tuple((-a, -b) for a, b in widths), 0),
    widths=None,
    value=None,
)


def pad(input: Any, pad: Any, mode: str = "constant", value: float | None = None) -> Any:
    """`input` with elements added around its last dims: pad = (left, right, top, bottom, ...).

    `mode` is constant, reflect, replicate or circular; negative widths cut.
    Raises: RuntimeError, ValueError or NotImplementedError where the widths do not fit.
    """
    widths, ndim = [int(n) for n in pad], input.array.ndim
    if len(widths) % 2:
        raise RuntimeError(f"Padding length must be divisible by 2, got {len(widths)} widths")
    if len(widths) // 2 > ndim:
        raise RuntimeError(
            f"Padding length should be less than or equal to two times the input dimension but got"
            f" padding length {len(widths)} and input of dimension {ndim}"
        )
    pairs = [(widths[2 * i], widths[2 * i + 1]) for i in range(len(widths) // 2)]
    if mode == "constant":
        return _constant(input, pairs, 0 if value is None else value)
    if value:
        raise RuntimeError(f'Padding mode "{mode}" doesn\'t take in value argument')
    if mode not in SOURCES:
        raise NotImplementedError(f"Unrecognised padding mode {mode}")
    if not 0 < len(pairs) < 4 or ndim not in (len(pairs) + 1, len(pairs) + 2):
        raise NotImplementedError(
            "Only 2D, 3D, 4D, 5D padding with non-constant padding are supported for now, got"
            f" {ndim}D input with {len(widths)} widths"
        )
    if mode in PADDINGS and 0 in input.array.shape[-len(pairs) - 1 :]:
        raise RuntimeError(
            "Expected input whose dims, but for the batch's, have elements, got"
            f" {list(input.array.shape)}"
        )
    out = input
    for i, (before, after) in enumerate(pairs):
        axis = ndim - 1 - i
        _check(mode, before, after, input.array.shape, axis)
        out = select_rows(out, axis, SOURCES[mode](before, after, out.array.shape[axis], out))
    return called(
        out, f"{PADDINGS[mode]}Pad{len(pairs)}DBackward0" if mode in PADDINGS else "CopySlices"
    )


PADDINGS = {"reflect": "Reflection", "replicate": "Replication"}


def _constant(x: Any, pairs: list[tuple[int, int]], value: Any) -> Any:
    full = ((0, 0),) * (x.array.ndim - len(pairs)) + tuple(reversed(pairs))
    for n, (before, after) in zip(x.array.shape, full):
        if n + min(before, 0) + min(after, 0) < 0:
            raise RuntimeError(
                f"The input size {n}, plus negative padding {before} and {after}, resulted in a"
                " negative output size, which is invalid."
            )
    return pad_constant(x, full, value)


def constant_pad_nd(input: Any, pad: Any, value: Any = 0) -> Any:
    """`input` with elements of one value added around its last dims."""
    pairs = [(int(pad[2 * i]), int(pad[2 * i + 1])) for i in range(len(pad) // 2)]
    return _constant(input, pairs, value)


# ---- where the added elements come from --------------------------------------------------------


def _check(mode: str, before: int, after: int, shape: tuple[int, ...], axis: int) -> None:
    n = shape[axis]
    if mode == "reflect" and max(before, after) >= max(n, 1):
        raise RuntimeError(
            "Argument #4: Padding size should be less than the corresponding input dimension, but"
            f" got: padding ({before}, {after}) at dimension {axis} of input {list(shape)}"
        )
    if mode == "circular" and max(before, after) > n:
        raise RuntimeError("Padding value causes wrapping around more than once.")
    if (not n and mode != "circular") or n + before + after < 0:
        raise RuntimeError(
            f"Expected a non-empty result of padding ({before}, {after}) at dimension {axis} of"
            f" input {list(shape)}"
        )


def _line(before: int, after: int, n: int, x: Any) -> Any:
    return xp(x.array).arange(-before, n + after)


@where_it_lies
def _replicated(before: int, after: int, n: int, x: Any) -> Any:
    return _line(before, after, n, x).clip(0, n - 1)


@where_it_lies
def _circular(before: int, after: int, n: int, x: Any) -> Any:
    # What a negative width cuts away does not come round again.
    start, kept = max(-before, 0), n + min(before, 0) + min(after, 0)
    return _line(max(before, 0), max(after, 0), kept, x) % kept + start


@where_it_lies
def _reflected(before: int, after: int, n: int, x: Any) -> Any:
    line = abs(_line(before, after, n, x))
    return (n - 1) - abs((n - 1) - line)


SOURCES = {"replicate": _replicated, "circular": _circular, "reflect": _reflected}
