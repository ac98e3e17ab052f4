"""Images resized, rearranged, and read at given places."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy

from core.autograd.place import where_it_lies
from core.autograd.value import called, wrap
from core.backend import xp
from core.nn.functional.averaging import adaptive_mean
from core.nn.functional.convolution import placed
from core.ops.cast import clone
from core.ops.choice import choose, clamp
from core.ops.elementwise import abs
from core.ops.gather import gather, select_rows
from core.ops.linalg import matmul
from core.ops.shape import reshape_array, transpose

__all__ = (
    "interpolate upsample upsample_nearest upsample_bilinear affine_grid grid_sample"
).split()

LINEAR = {"linear": 1, "bilinear": 2, "trilinear": 3}
_CUBIC = -0.75  # the free coefficient of the cubic, as in PyTorch


def _wanted(
    x: Any, size: Any, scale_factor: Any, recompute: Any
) -> tuple[tuple[int, ...], tuple[float | None, ...]]:
    """The size of the result, and per dim the given scale, where it is to be used."""
    n = len(x.shape) - 2
    if (size is None) == (scale_factor is None):
        raise ValueError("only one of size or scale_factor should be defined")
    if size is not None:
        sizes = (size,) * n if isinstance(size, int) else tuple(size)
        if len(sizes) != n:
            raise ValueError(
                f"Input and output must have the same number of spatial dimensions, but got input"
                f" with spatial dimensions of {list(x.shape[2:])} and output size of {size}."
            )
        return sizes, (None,) * n
    scales = (scale_factor,) * n if isinstance(scale_factor, (int, float)) else tuple(scale_factor)
    sizes = tuple(math.floor(have * float(s)) for have, s in zip(x.shape[2:], scales, strict=True))
    return sizes, (None,) * n if recompute else tuple(float(s) for s in scales)


def _centres(have: int, want: int, scale: float | None, align: bool) -> numpy.ndarray:
    """Where in the input the middle of each new element lies."""
    if align:
        return numpy.arange(want) * ((have - 1) / (want - 1) if want > 1 else 0.0)
    step = have / want if scale is None else 1 / scale
    return (numpy.arange(want) + 0.5) * step - 0.5


def _cubic(t: numpy.ndarray) -> list[numpy.ndarray]:
    """The weights of the four neighbours at a distance t after the second.

    Source: Keys (1981).
    """

    def near(d: Any) -> Any:
        return ((_CUBIC + 2) * d - (_CUBIC + 3)) * d * d + 1

    def far(d: Any) -> Any:
        return ((_CUBIC * d - 5 * _CUBIC) * d + 8 * _CUBIC) * d - 4 * _CUBIC

    return [far(t + 1), near(t), near(1 - t), far(2 - t)]


def _taps(mode: str, have: int, want: int, scale: Any, align: bool) -> list[Any]:
    """(indices, weights) of the elements that make up each new one; weights None for a copy."""
    if mode == "nearest":
        step = have / want if scale is None else 1 / scale
        places = numpy.floor(numpy.arange(want, dtype=numpy.float32) * numpy.float32(step))
        return [(numpy.minimum(places.astype(numpy.int64), have - 1), None)]
    if mode == "nearest-exact":
        step = have / want if scale is None else 1 / scale
        places = numpy.floor((numpy.arange(want) + 0.5) * step).astype(numpy.int64)
        return [(numpy.minimum(places, have - 1), None)]
    centres = _centres(have, want, scale, align)
    if mode != "bicubic":
        centres = numpy.maximum(centres, 0.0)
    first = numpy.floor(centres).astype(numpy.int64)
    t = centres - first
    weights = _cubic(t) if mode == "bicubic" else [1 - t, t]
    start = -1 if mode == "bicubic" else 0
    return [
        (numpy.clip(first + start + i, 0, have - 1), weight) for i, weight in enumerate(weights)
    ]


def _blend(x: Any, axis: int, taps: list[Any]) -> Any:
    """The weighted sum of what `taps` pick along an axis."""
    dtype = x.array.dtype
    shape = (-1,) + (1,) * (len(x.shape) - 1 - axis)
    out = None
    for places, weights in taps:
        part = select_rows(x, axis, wrap(placed(x, places)))
        if weights is not None:
            part = part * wrap(placed(x, weights.astype(dtype).reshape(shape)))
        out = part if out is None else out + part
    return out


def _antialiased(x: Any, axis: int, mode: str, want: int, scale: Any, align: bool) -> Any:
    """A resize along an axis whose filter grows with the reduction, so that nothing is skipped."""
    have, ndim = x.shape[axis], len(x.shape)
    step = have / want if scale is None else 1 / scale
    if align:
        step = (have - 1) / (want - 1) if want > 1 else 0.0
    width = max(step, 1.0)
    centre = (numpy.arange(want) + 0.5) * step
    d = numpy.abs((numpy.arange(have)[:, None] + 0.5 - centre) / width)
    if mode == "bicubic":
        # Anti-aliasing takes the other usual cubic, with -1/2.
        near = (1.5 * d - 2.5) * d * d + 1
        far = ((-0.5 * d + 2.5) * d - 4) * d + 2
        weights = numpy.where(d < 1, near, numpy.where(d < 2, far, 0.0))
    else:
        weights = numpy.maximum(1 - d, 0.0)
    weights = (weights / weights.sum(0)).astype(x.array.dtype)
    moved = matmul(transpose(x, axis, ndim - 1), wrap(placed(x, weights)))
    return transpose(moved, axis, ndim - 1)


def _check_mode(ndim: int, mode: str, align_corners: bool | None, antialias: bool) -> None:
    if ndim not in (3, 4, 5):
        raise NotImplementedError(
            f"Only 3D, 4D and 5D input Tensors are supported (got {ndim}D) for mode {mode}"
        )
    known = ("nearest", "nearest-exact", "area", "bicubic", *LINEAR)
    if mode not in known:
        raise NotImplementedError(f"unknown interpolation mode {mode}; the modes are {known}")
    if align_corners is not None and mode in ("nearest", "nearest-exact", "area"):
        raise ValueError(
            "align_corners option can only be set with the interpolating modes: linear | bilinear |"
            " bicubic | trilinear"
        )
    if antialias and (mode not in ("bilinear", "bicubic") or ndim != 4):
        raise ValueError(
            "Anti-alias option is restricted to bilinear and bicubic modes and requires a 4-D"
            " tensor as input"
        )
    if LINEAR.get(mode, 2 if mode == "bicubic" else ndim - 2) != ndim - 2:
        raise NotImplementedError(
            f"Got {ndim}D input, but {mode} mode needs another number of dims"
        )


@where_it_lies
def interpolate(
    input: Any,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Any:
    """The input in another size: nearest, nearest-exact, linear to trilinear, bicubic or area.

    Shape: (N, C, *S) -> (N, C, *size).
    """
    _check_mode(len(input.shape), mode, align_corners, antialias)
    sizes, scales = _wanted(input, size, scale_factor, recompute_scale_factor)
    if mode == "area":
        means = adaptive_mean(input, sizes)
        return called(means, _AREA[len(sizes)])
    if min(*sizes, *input.shape[2:]) <= 0:
        raise RuntimeError(
            "Input and output sizes should be greater than 0, but got input"
            f" {tuple(input.shape[2:])} output {sizes}"
        )
    align = bool(align_corners)
    out = input
    for axis, (want, scale) in enumerate(zip(sizes, scales, strict=True), 2):
        if antialias:
            out = _antialiased(out, axis, mode, want, scale, align)
        elif out.shape[axis] != want or mode == "bicubic" or scale not in (None, 1.0):
            out = _blend(out, axis, _taps(mode, out.shape[axis], want, scale, align))
    out = clone(out) if out is input else out
    return called(out, f"Upsample{NAMES[mode]}{len(sizes)}DBackward0")


_AREA = {n: f"AdaptiveAvgPool{n}DBackward0" for n in (2, 3)} | {1: "SqueezeBackward1"}
NAMES = {"nearest": "Nearest", "nearest-exact": "NearestExact", "linear": "Linear"}
NAMES |= {"bilinear": "Bilinear", "trilinear": "Trilinear", "bicubic": "Bicubic"}


def upsample(
    input: Any,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
) -> Any:
    """`interpolate`, under its old name."""
    return interpolate(input, size, scale_factor, mode, align_corners)


def upsample_nearest(input: Any, size: Any = None, scale_factor: Any = None) -> Any:
    """`interpolate` to the nearest element."""
    return interpolate(input, size, scale_factor, "nearest")


def upsample_bilinear(input: Any, size: Any = None, scale_factor: Any = None) -> Any:
    """`interpolate` bilinearly with aligned corners."""
    return interpolate(input, size, scale_factor, "bilinear", True)


# ---- at given places --------------------------------------------------------------------------


@where_it_lies
def affine_grid(theta: Any, size: Any, align_corners: bool | None = None) -> Any:
    """The places, for `grid_sample`, that an affine map gives the elements of an image.

    Shape: (N, 2, 3), (N, C, H, W) -> (N, H, W, 2); or (N, 3, 4), five sizes -> (N, D, H, W, 3).
    """
    spatial = [int(n) for n in size[2:]]
    if len(spatial) not in (2, 3):
        raise NotImplementedError(
            "affine_grid only supports 4D and 5D sizes, for 2D and 3D affine transforms,"
            f" respectively. Got size {tuple(size)}."
        )
    wanted = (int(size[0]), len(spatial), len(spatial) + 1)
    if tuple(theta.shape) != wanted:
        raise ValueError(
            f"Expected a batch of affine matrices of shape {wanted} for size {tuple(size)}. Got"
            f" {theta.shape}."
        )
    dtype = theta.array.dtype
    lines = []
    for n in spatial:
        line = numpy.linspace(-1, 1, n) if n > 1 else numpy.zeros(1)
        lines.append(line if align_corners else line * (n - 1) / n)
    axes = numpy.meshgrid(*lines, indexing="ij")
    points = numpy.stack([*reversed(axes), numpy.ones(spatial)], -1).astype(dtype)
    flat = wrap(placed(theta, points.reshape(1, -1, len(spatial) + 1)))
    out = matmul(flat, transpose(theta, 1, 2))
    return reshape_array(out, (theta.shape[0], *spatial, len(spatial)))


def _placed(v: Any, n: int, padding_mode: str, align: bool) -> Any:
    """Coordinates -1 to 1 as places among n elements, brought back inside where asked for."""
    v = (v + 1) * ((n - 1) / 2) if align else ((v + 1) * n - 1) / 2
    if padding_mode == "zeros":
        return v
    if padding_mode == "reflection":
        low, high = (0.0, n - 1.0) if align else (-0.5, n - 0.5)
        v = _reflected(v, low, high)
    inside = (v > 0) & (v < n - 1)  # at the very border there is no slope, as in PyTorch
    return choose(inside, v, clamp(v.detach(), 0, n - 1))


def _reflected(v: Any, low: float, high: float) -> Any:
    """Coordinates mirrored at both ends until they are between them."""
    span = high - low
    if span <= 0:
        return v * 0
    distance = abs(v - low)
    module = xp(v.array)
    turns = module.floor(distance.array / span)
    inside = distance - wrap(turns * span)
    back = (turns.astype(numpy.int64) % 2).astype(v.array.dtype)
    return low + inside * wrap(1 - 2 * back) + wrap(back * span)


def _read(x: Any, places: list[Any]) -> Any:
    """The elements of (N, C, *S) at integer places (N, *P) per dim; zero outside."""
    module = xp(x.array)
    size = x.shape[2:]
    inside: Any = None
    flat: Any = 0
    for place, n in zip(places, size, strict=True):
        here = (place >= 0) & (place < n)
        inside = here if inside is None else inside & here
        flat = flat * n + module.clip(place, 0, n - 1)
    shape = (x.shape[0], x.shape[1], flat[0].size)
    index = module.broadcast_to(flat.reshape(shape[0], 1, -1), shape)
    rows = reshape_array(x, (*x.shape[:2], math.prod(size)))
    picked = gather(rows, 2, wrap(module.ascontiguousarray(index)))
    keep = inside.reshape(shape[0], 1, -1).astype(x.array.dtype)
    return reshape_array(picked * wrap(keep), (*x.shape[:2], *flat.shape[1:]))


_GRID_SAMPLER = "GridSampler{}DBackward0".format


def _nearest(module: Any, x: Any) -> Any:
    return module.rint(x).astype(numpy.int64)


@where_it_lies
def grid_sample(
    input: Any, grid: Any, mode: str = "bilinear", padding_mode: str = "zeros",
    align_corners: bool | None = None,
) -> Any:  # fmt: skip
    """The input read at the places of `grid`, whose coordinates go from -1 to 1, last dim first.

    Shape: (N, C, *S), (N, *P, number of dims) -> (N, C, *P).
    """
    if mode not in ("bilinear", "nearest", "bicubic"):
        raise ValueError(f"expected mode bilinear, nearest or bicubic, but got: '{mode}'")
    if padding_mode not in ("zeros", "border", "reflection"):
        raise ValueError(
            f"expected padding_mode zeros, border or reflection, but got: '{padding_mode}'"
        )
    n = len(input.shape) - 2
    _check_grid(tuple(input.shape), tuple(grid.shape), n)
    if mode == "bicubic" and n != 2:
        raise RuntimeError("grid_sampler(): bicubic interpolation only supports 4D input")
    align, sizes = bool(align_corners), tuple(input.shape[2:])
    bring = "zeros" if mode == "bicubic" else padding_mode
    where = [_placed(grid[..., n - 1 - i], sizes[i], bring, align) for i in range(n)]
    module = xp(input.array)
    if mode == "nearest":
        return called(_read(input, [_nearest(module, v.array) for v in where]), _GRID_SAMPLER(n))
    first = [module.floor(v.array).astype(numpy.int64) for v in where]
    rest = [v - wrap(f.astype(v.array.dtype)) for v, f in zip(where, first, strict=True)]
    cubic = mode == "bicubic"
    weights: Any = [_cubic(t) if cubic else [1 - t, t] for t in rest]
    out = None
    for corner in itertools.product(range(4 if cubic else 2), repeat=n):
        places = [f + c - cubic for f, c in zip(first, corner, strict=True)]
        if cubic and padding_mode != "zeros":
            places = _inside(places, sizes, padding_mode, align)
        weight = weights[0][corner[0]]
        for i in range(1, n):
            weight = weight * weights[i][corner[i]]
        part = _read(input, places) * weight.unsqueeze(1)
        out = part if out is None else out + part
    return called(out, _GRID_SAMPLER(n))


def _check_grid(size: tuple[int, ...], grid: tuple[int, ...], n: int) -> None:
    if n not in (2, 3) or len(grid) != n + 2:
        raise RuntimeError(
            "grid_sampler(): expected 4D or 5D input and grid with same number of dimensions, but"
            f" got input with sizes {list(size)} and grid with sizes {list(grid)}"
        )
    if grid[0] != size[0]:
        raise RuntimeError(
            "grid_sampler(): expected grid and input to have same batch size, but got input with"
            f" sizes {list(size)} and grid with sizes {list(grid)}"
        )
    if grid[-1] != n:
        raise RuntimeError(
            f"grid_sampler(): expected grid to have size {n} in last dimension, but got grid with"
            f" sizes {list(grid)}"
        )


def _inside(places: list[Any], sizes: Any, padding_mode: str, align: bool) -> list[Any]:
    """Integer places brought back inside by clipping, after mirroring where asked for."""
    out = []
    for place, n in zip(places, sizes, strict=True):
        module = xp(place)
        if padding_mode == "reflection":
            low, high = (0.0, n - 1.0) if align else (-0.5, n - 0.5)
            mirrored = _reflected(wrap(place.astype(numpy.float64)), low, high).array
            place = module.rint(mirrored).astype(numpy.int64)
        out.append(module.clip(place, 0, n - 1))
    return out
