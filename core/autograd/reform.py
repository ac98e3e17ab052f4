"""In-place forms of views: the tensor itself gets the shape, and its memory stays."""

from __future__ import annotations

import functools
import re
from typing import Any

from core.autograd.inplace import forbid_leaf
from core.autograd.mode import mode
from core.autograd.value import Before, Value, extra_of, version_of


def reforming(call: Any, forms: int = 1) -> Any:
    """The in-place form of a view; its nodes are named `forms` numbers after those of the view."""

    @functools.wraps(call)
    def reform(x: Value, *args: Any, **kwargs: Any) -> Any:
        forbid_leaf(x)
        seen = x.version is not None  # others may look at this memory
        counter = version_of(x)
        out = _viewed(call, _before(x), args, kwargs)
        x.array = out.array
        if x.node is not None:
            x.node = out.node
            extra_of(out.node).label = _later(out.node.name(), forms)
        counter[0] += 1
        if x.base is not None or (seen and (x.node is not None or not x.needs_grad)):
            x.base = out.base
            out.base.count = counter[0]
        return x

    reform.__name__ = reform.__qualname__ = f"{call.__name__}_"
    return reform


def _viewed(call: Any, before: Any, args: Any, kwargs: Any) -> Any:
    recording = mode.recording
    mode.record(True)  # under no_grad too: the form is a new one, the values are as tracked as ever
    try:
        return call(before, *args, **kwargs)
    finally:
        mode.record(recording)


def _before(x: Value) -> Before:
    """What `x` is now: what its views, and its own new form, are views of from now on."""
    out = Before()
    for name in ("array", "node", "needs_grad", "version", "base", "leaf"):
        setattr(out, name, getattr(x, name))
    return out


def _later(label: str, forms: int) -> str:
    return re.sub(r"\d+$", lambda number: str(int(number[0]) + forms), label)
