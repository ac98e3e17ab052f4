"""How tensors print: PyTorch's layout, digit for digit."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy

from core.backend import to_host
from core.dtype import BOOL, get_default_dtype, int64, of

__all__ = ["get_printoptions", "printoptions", "set_printoptions"]


@dataclass
class _Options:
    precision: int = 4
    threshold: float = 1000
    edgeitems: int = 3
    linewidth: int = 80
    sci_mode: bool | None = None


_options = _Options()
_PROFILES: dict[str, dict[str, Any]] = {
    "default": {"precision": 4, "threshold": 1000, "edgeitems": 3, "linewidth": 80},
    "short": {"precision": 2, "threshold": 1000, "edgeitems": 2, "linewidth": 80},
    "full": {"precision": 4, "threshold": math.inf, "edgeitems": 3, "linewidth": 80},
}


def set_printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """Change how tensors print: digits, when and how far to summarise, and the line's width.

    `profile` is "default", "short" or "full"; `sci_mode` None decides by the values.
    """
    given = dict(_PROFILES[profile]) if profile is not None else {}
    own = {"precision": precision, "threshold": threshold}
    own |= {"edgeitems": edgeitems, "linewidth": linewidth}
    given |= {name: value for name, value in own.items() if value is not None}
    for name, value in given.items():
        setattr(_options, name, value)
    _options.sci_mode = sci_mode


def get_printoptions() -> dict[str, Any]:
    """The options in force, as arguments of `set_printoptions`."""
    return asdict(_options)


@contextlib.contextmanager
def printoptions(**options: Any) -> Iterator[None]:
    """A context in which tensors print with other options."""
    before = get_printoptions()
    set_printoptions(**options)
    try:
        yield
    finally:
        set_printoptions(**before)


def tensor_text(x: Any, contents: str | None = None) -> str:
    """The text of a tensor: its values, then what is not the default about it."""
    kind = type(x).__name__
    prefix = "tensor(" if kind in ("Tensor", "Parameter") else f"{kind}("
    if contents is None:
        contents = array_text(to_host(x.array), len(prefix))
    return _with_notes(prefix + contents, _notes(x), len(prefix))


def array_text(array: numpy.ndarray, indent: int) -> str:
    """The values of an array in brackets, its later lines indented."""
    if not array.size:
        return "[]"
    short = array.size > _options.threshold
    shown = _edges(array) if short else array
    return _nested(array, indent, short, _Column(shown))


# ---- one width for all values -----------------------------------------------------------------


class _Column:
    """How one value prints, and the width that holds all of them."""

    def __init__(self, shown: numpy.ndarray) -> None:
        self.floating = of(shown.dtype).is_floating_point
        self.whole = True
        self.scientific = False
        self.width = 1
        if self.floating:
            self._fit_floats(shown.astype(numpy.float64).ravel())
        else:
            self.width = max((len(str(v)) for v in shown.ravel().tolist()), default=1)

    def _fit_floats(self, shown: numpy.ndarray) -> None:
        values = shown[numpy.isfinite(shown) & (shown != 0)]
        if not values.size:
            return
        sizes = numpy.abs(values)
        low, high = float(sizes.min()), float(sizes.max())
        self.whole = bool((values == numpy.ceil(values)).all())
        with numpy.errstate(over="ignore"):
            wide = sizes.max() / sizes.min() > 1000
        self.scientific = bool(wide or high > 1e8 or low < 1e-4)
        if _options.sci_mode is not None:
            self.scientific = _options.sci_mode
        self.width = max(len(self._bare(v)) for v in values.tolist())

    def _bare(self, value: float) -> str:
        if self.scientific:
            return f"{value:.{_options.precision}e}"
        if self.whole:
            return f"{value:.0f}." if math.isfinite(value) else f"{value:.0f}"
        return f"{value:.{_options.precision}f}"

    def text(self, value: Any) -> str:
        """One value, right-aligned."""
        bare = self._bare(value) if self.floating else str(value)
        return bare.rjust(self.width)


# ---- brackets, lines and what is left out -----------------------------------------------------


def _plain(x: numpy.ndarray) -> Any:
    return (x.astype(numpy.float64) if x.dtype.kind == "V" else x).tolist()


def _nested(x: numpy.ndarray, indent: int, short: bool, column: _Column) -> str:
    if x.ndim == 0:
        return column.text(_plain(x))
    if x.ndim == 1:
        return _row(x, indent, short, column)
    edge = _options.edgeitems
    cut = short and len(x) > 2 * edge
    picked = [*range(edge), *range(len(x) - edge, len(x))] if cut else range(len(x))
    parts = [_nested(x[i], indent + 1, short, column) for i in picked]
    if cut:
        parts.insert(edge, "...")
    return "[" + ("," + "\n" * (x.ndim - 1) + " " * (indent + 1)).join(parts) + "]"


def _row(x: numpy.ndarray, indent: int, short: bool, column: _Column) -> str:
    edge = _options.edgeitems
    if short and not edge:
        parts = ["..."]
    elif short and len(x) > 2 * edge:
        parts = [column.text(v) for v in _plain(x[:edge])] + [" ..."]
        parts += [column.text(v) for v in _plain(x[-edge:])]
    else:
        parts = [column.text(v) for v in _plain(x)]
    per_line = max(1, (_options.linewidth - indent) // (column.width + 2))
    lines = [", ".join(parts[i : i + per_line]) for i in range(0, len(parts), per_line)]
    return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"


def _edges(x: numpy.ndarray) -> numpy.ndarray:
    """The elements that a summary shows."""
    edge = _options.edgeitems
    for axis, size in enumerate(x.shape):
        if size > 2 * edge:
            ends = [*range(edge), *range(size - edge, size)]
            x = numpy.take(x, numpy.array(ends, numpy.int64), axis)
    return x


# ---- dtype=, device=, grad_fn= ----------------------------------------------------------------


def _notes(x: Any) -> list[str]:
    notes = []
    if x.device.type != "cpu":
        notes.append(f"device='{x.device}'")
    d = of(x.array.dtype)
    plain = d in (get_default_dtype(), int64) or d.category == BOOL
    if not x.array.size:
        if x.array.ndim != 1:
            notes.append(f"size={tuple(x.array.shape)}")
        plain = d is get_default_dtype()
    elif not _options.edgeitems:
        notes.append(f"size={tuple(x.array.shape)}")
    if not plain:
        notes.append(f"dtype={d!r}")
    if x.grad_fn is not None:
        notes.append(f"grad_fn=<{x.grad_fn.name().rsplit('::', 1)[-1]}>")
    elif x.requires_grad:
        notes.append("requires_grad=True")
    return notes


def _with_notes(text: str, notes: list[str], indent: int) -> str:
    parts = [text]
    used = len(text) - text.rfind("\n") + 1
    for note in notes:
        width = len(note) + note.startswith("dtype=")  # lines break where they do after `torch.`
        if used + width + 2 > _options.linewidth:
            parts.append(",\n" + " " * indent + note)
            used = indent + width
        else:
            parts.append(", " + note)
            used += width + 2
    return "".join(parts) + ")"
