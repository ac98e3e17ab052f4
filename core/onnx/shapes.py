"""ONNX forms of changes of shape, of parts, and of what joins them."""

from __future__ import annotations

from typing import Any

from core.onnx.graph import Call, Graph, form
from core.onnx.trace import Slot


@form("reshape_array", "copied_in_shape", "alias_in_shape", "unsqueeze", "squeeze")
def reshape(graph: Graph, call: Call) -> str:
    """Reshape. One size may be left to ONNX: the product of several open ones."""
    return _reshaped(graph, call, call.name(0, None), 0)


def _reshaped(graph: Graph, call: Call, x: str, which: int) -> str:
    one = list(graph.one.arrays[call.step.outs[which]].shape)
    two = list(graph.two.arrays[call.other.outs[which]].shape)
    products = [i for i, (a, b) in enumerate(zip(one, two)) if a != b and (a, b) not in graph.open]
    free = products[:1] or [i for i, (a, b) in enumerate(zip(one, two)) if a != b]
    for i in free[:1] if len(products) < 2 else []:
        one[i] = two[i] = -1
    return graph.add("Reshape", x, graph.ints(one, two))


@form("transpose")
def transpose(graph: Graph, call: Call) -> str:
    """Two axes swapped."""
    axes = list(range(call.array(0).ndim))
    i, j = call.args[1:3]
    axes[i], axes[j] = axes[j], axes[i]
    return graph.add("Transpose", call.name(0), perm=axes)


@form("permute")
def permute(graph: Graph, call: Call) -> str:
    """Axes in another order."""
    ndim = call.array(0).ndim
    return graph.add("Transpose", call.name(0), perm=[a % ndim for a in call.args[1]])


@form("broadcast_array", "expand")
def expand(graph: Graph, call: Call) -> str:
    """Repeated without a copy."""
    return graph.add("Expand", call.name(0), call.sizes())


@form("slice", "select", "alias")
def part(graph: Graph, call: Call) -> str:
    """The part at a key of ints, slices, None and Ellipsis."""
    pair = [_ranges(x.args[1], t.arrays[x.args[0].number].shape) for x, t in _both(graph, call)]
    x = _sliced(graph, call.name(0), *pair)
    return _reshaped(graph, call, x, 0) if _changes(call.args[1]) else x


def _both(graph: Graph, call: Call) -> Any:
    return ((call.step, graph.one), (call.other, graph.two))


def _changes(key: Any) -> bool:
    return any(p is None or isinstance(p, int) for p in key)


def _ranges(key: Any, shape: tuple[int, ...]) -> list[tuple[int, int, int, int]]:
    """(axis, start, stop, step) of each axis that a key does not take whole."""
    parts = [p for p in key if p is not None]
    at = next((i for i, p in enumerate(parts) if p is Ellipsis), len(parts))
    skipped = len(shape) - sum(p is not Ellipsis for p in parts)
    whole = [*parts[:at], *[slice(None)] * skipped, *parts[at + 1 :]]
    found = []
    for axis, (p, n) in enumerate(zip(whole, shape)):
        if isinstance(p, int):
            p = slice(p % n, p % n + 1)
        start, stop, step = p.indices(n)
        if (start, stop, step) != (0, n, 1):
            found.append((axis, start, stop, step))
    return found


def _sliced(graph: Graph, x: str, one: Any, two: Any) -> str:
    if not one:
        return x
    starts, stops = ([[r[i] for r in ranges] for ranges in (one, two)] for i in (1, 2))
    axes = graph.constant([r[0] for r in one], "int64")
    steps = graph.constant([r[3] for r in one], "int64")
    return graph.add("Slice", x, graph.ints(*starts), graph.ints(*stops), axes, steps)


@form("split", "split_with_sizes")
def split(graph: Graph, call: Call) -> list[str]:
    """Each piece as a slice."""
    axis, names = call.args[1], []
    for i in range(len(call.step.outs)):
        pair = [[(axis, x.args[2][i], x.args[2][i + 1], 1)] for x, _ in _both(graph, call)]
        names.append(_sliced(graph, call.name(0), *pair))
    return names


@form("unbind")
def unbind(graph: Graph, call: Call) -> list[str]:
    """Each index of an axis."""
    places = range(len(call.step.outs))
    at = [graph.constant(i, "int64") for i in places]
    return [graph.add("Gather", call.name(0), i, axis=call.args[1]) for i in at]


@form("cat")
def cat(graph: Graph, call: Call) -> str:
    """Joined along an axis."""
    names = [call.name(i) for i in range(1, len(call.args))]
    return graph.add("Concat", *names, axis=call.args[0])


@form("stack")
def stack(graph: Graph, call: Call) -> str:
    """Joined along a new axis."""
    axis = graph.constant([call.args[0]], "int64")
    names = [graph.add("Unsqueeze", call.name(i), axis) for i in range(1, len(call.args))]
    return graph.add("Concat", *names, axis=call.args[0])


@form("index_select")
def index_select(graph: Graph, call: Call) -> str:
    """Gather of whole rows."""
    return graph.add("Gather", call.name(0), call.name(2), axis=call.args[1])


@form("gather")
def gather(graph: Graph, call: Call) -> str:
    """Gather of elements."""
    return graph.add("GatherElements", call.name(0), call.name(1), axis=call.args[2])


@form("index")
def index(graph: Graph, call: Call) -> str:
    """Gather along the one axis at which the key has an array."""
    *lead, last = call.args[1]
    whole = all(isinstance(p, slice) and p == slice(None) for p in lead)
    if not whole or not isinstance(last, Slot) or graph.one.arrays[last.number].dtype == bool:
        raise NotImplementedError("core.onnx: an index with several arrays, or a mask")
    return graph.add("Gather", call.name(0), graph.names[last.number], axis=len(lead))


@form("constant_pad_nd")
def pad(graph: Graph, call: Call) -> str:
    """A frame of one value; a negative width crops."""
    _, widths, value = call.args
    pads = [w[0] for w in widths] + [w[1] for w in widths]
    return graph.add(
        "Pad", call.name(0), graph.constant(pads, "int64"), graph.constant(value, call.dtype)
    )


# ---- over axes --------------------------------------------------------------------------------

REDUCTIONS = {"sum": "ReduceSum", "mean": "ReduceMean", "amax": "ReduceMax", "amin": "ReduceMin"}


def axes_of(dim: Any) -> list[int]:
    """The axes of a reduction; none for all."""
    return [] if dim is None else [dim] if isinstance(dim, int) else list(dim)


@form(*REDUCTIONS)
def reduce(graph: Graph, call: Call) -> str:
    """Sum, mean or extreme over axes."""
    axes = axes_of(call.args[1])
    inputs = [graph.constant(axes, "int64")] if axes else []
    x = call.name(0, call.dtype)
    return graph.add(REDUCTIONS[call.step.name], x, *inputs, keepdims=int(call.args[2]))


@form("linalg_vector_norm")
def vector_norm(graph: Graph, call: Call) -> str:
    """The 1-norm or the 2-norm."""
    _, p, dim, keepdim = call.args[:4]
    if p not in (1, 2):
        raise NotImplementedError(f"core.onnx: a norm with p={p}")
    inputs = [graph.constant(axes_of(dim), "int64")] if axes_of(dim) else []
    return graph.add(f"ReduceL{int(p)}", call.name(0), *inputs, keepdims=int(keepdim))


@form("argmax", "argmin")
def argument(graph: Graph, call: Call) -> str:
    """Where the extreme stands."""
    operator = "ArgMax" if call.step.name == "argmax" else "ArgMin"
    x, dim, keepdim = call.name(0), call.args[1], int(call.args[2])
    if dim is None:
        x, dim = graph.add("Reshape", x, graph.constant([-1], "int64")), 0
    return graph.add(operator, x, axis=int(dim), keepdims=keepdim)


def means(graph: Graph, x: str, axes: Any) -> str:
    """The mean over axes, which stay as ones."""
    return graph.add("ReduceMean", x, graph.constant(list(axes), "int64"), keepdims=1)
