"""ONNX forms of products, windows, norms and recurrent cells."""

from __future__ import annotations

import math
from typing import Any

import numpy

from core.onnx.graph import Call, Graph, form
from core.onnx.shapes import means
from core.onnx.trace import Trace


@form("matrix_product")
def matrix_product(graph: Graph, call: Call) -> str:
    """MatMul."""
    return graph.add("MatMul", call.name(0), call.name(1))


@form("linear")
def linear(graph: Graph, call: Call) -> str:
    """X @ w.T + b: one Gemm for a matrix."""
    bias = [] if call.args[2] is None else [call.name(2)]
    if call.array(0).ndim == 2:
        return graph.add("Gemm", call.name(0), call.name(1), *bias, transB=1)
    w = graph.add("Transpose", call.name(1), perm=[1, 0])
    out = graph.add("MatMul", call.name(0), w)
    return graph.add("Add", out, *bias) if bias else out


# ---- windows ----------------------------------------------------------------------------------


def pads(padding: Any) -> list[int]:
    """ONNX's order: all before, then all after."""
    return [lo for lo, _ in padding] + [hi for _, hi in padding]


@form("convolution")
def convolution(graph: Graph, call: Call) -> str:
    """Conv."""
    stride, padding, dilation, groups = call.args[3:]
    bias = [] if call.args[2] is None else [call.name(2)]
    return graph.add(
        "Conv", call.name(0), call.name(1), *bias, strides=list(stride), pads=pads(padding),
        dilations=list(dilation), group=groups,
    )  # fmt: skip


@form("conv_input")
def transposed(graph: Graph, call: Call) -> str:
    """ConvTranspose; what it lacks of the size is added at the end."""
    stride, padding, dilation, groups = call.args[3:]
    more = _lacking(call.step.args, graph.one)
    if call.other.args[3:] != call.args[3:] or _lacking(call.other.args, graph.two) != more:
        raise RuntimeError("core.onnx: a transposed convolution to sizes that are dynamic axes")
    return graph.add(
        "ConvTranspose", call.name(0), call.name(1), strides=list(stride), pads=pads(padding),
        dilations=list(dilation), group=groups,
        output_padding=more,
    )  # fmt: skip


def _lacking(args: Any, trace: Trace) -> list[int]:
    """What a transposed convolution does not reach of its size, per dim."""
    g, w, size, stride, padding, dilation, _ = args
    places, kernel = (trace.arrays[x.number].shape[2:] for x in (g, w))
    parts = zip(size, places, kernel, stride, padding, dilation, strict=True)
    return [z - ((n - 1) * s - sum(p) + d * (k - 1) + 1) for z, n, k, s, p, d in parts]


def _places(graph: Graph, kernel: Any, channels: int, dtype: Any) -> str:
    """For each channel one kernel per place of it, with a one there."""
    count = math.prod(kernel)
    ones = numpy.eye(count).reshape(count, 1, *kernel)
    return graph.constant(numpy.tile(ones, (channels, *[1] * (ones.ndim - 1))), dtype)


@form("unfold_columns")
def unfold(graph: Graph, call: Call) -> str:
    """Conv with a kernel for each place, its places in one row."""
    _, kernel, stride, padding, dilation = call.args
    channels = call.array(0).shape[1]
    out = graph.add(
        "Conv", call.name(0), _places(graph, kernel, channels, call.dtype), strides=list(stride),
        pads=pads(padding), dilations=list(dilation), group=channels,
    )  # fmt: skip
    return graph.add("Reshape", out, graph.constant([0, 0, -1], "int64"))


@form("fold_columns")
def fold(graph: Graph, call: Call) -> str:
    """ConvTranspose with a kernel for each place."""
    _, size, kernel, stride, padding, dilation = call.args
    channels = call.shapes[0][1]
    parts = zip(size, kernel, stride, padding, dilation, strict=True)
    sums = [(z + sum(p) - d * (k - 1) - 1, s) for z, k, s, p, d in parts]
    shape = graph.constant([0, 0, *(n // s + 1 for n, s in sums)], "int64")
    return graph.add(
        "ConvTranspose", graph.add("Reshape", call.name(0), shape),
        _places(graph, kernel, channels, call.dtype), strides=list(stride), pads=pads(padding),
        dilations=list(dilation), group=channels, output_padding=[n % s for n, s in sums],
    )  # fmt: skip


@form("add_rows")
def add_rows(graph: Graph, call: Call) -> str:
    """Rows added to zeros at indices: ScatterND."""
    _, axis, _, shape = call.args
    if axis:
        raise NotImplementedError(f"core.onnx: rows added along axis {axis}")
    index = graph.add("Unsqueeze", call.name(2, "int64"), graph.constant([-1], "int64"))
    zeros = graph.constant(numpy.zeros(shape), call.dtype)
    return graph.add("ScatterND", zeros, index, call.name(0, call.dtype), reduction="add")


@form("max_windows")
def max_windows(graph: Graph, call: Call) -> str:
    """MaxPool."""
    _, kernel, stride, padding, dilation = call.args
    return graph.add(
        "MaxPool", call.name(0), kernel_shape=list(kernel), strides=list(stride),
        pads=pads(padding), dilations=list(dilation),
    )  # fmt: skip


@form("winners")
def winners(graph: Graph, call: Call) -> str:
    """Where the largest element stands in its channel: MaxPool's places in the whole input."""
    _, _, kernel, stride, padding, dilation = call.args
    _, places = graph.add(
        "MaxPool", call.name(0), kernel_shape=list(kernel), strides=list(stride),
        pads=pads(padding), dilations=list(dilation), count=2,
    )  # fmt: skip
    size = math.prod(call.array(0).shape[2:])
    return graph.add("Mod", places, graph.constant(size, "int64"))


@form("flat_places")
def flat_places(graph: Graph, call: Call) -> str:
    """What `winners` gives in ONNX already; it is used for nothing else."""
    return graph.names[call.args[0].number]


@form("sum_windows")
def sum_windows(graph: Graph, call: Call) -> str:
    """AveragePool over the padding too, times the size of the window."""
    _, kernel, stride, padding = call.args
    frame = [[0, 0], [0, 0], *map(list, padding)]
    widths = [lo for lo, _ in frame] + [hi for _, hi in frame]
    x = call.name(0)
    if any(widths):
        x = graph.add("Pad", x, graph.constant(widths, "int64"), graph.constant(0, call.dtype))
    mean = graph.add("AveragePool", x, kernel_shape=list(kernel), strides=list(stride))
    return graph.add("Mul", mean, graph.constant(math.prod(kernel), call.dtype))


# ---- norms ------------------------------------------------------------------------------------


def _over_deviation(graph: Graph, x: str, axes: Any, eps: float, dtype: Any) -> str:
    squares = means(graph, graph.add("Mul", x, x), axes)
    return graph.add(
        "Div", x, graph.add("Sqrt", graph.add("Add", squares, graph.constant(eps, dtype)))
    )


@form("standardise")
def standardise(graph: Graph, call: Call) -> str:
    """Mean 0 and variance 1 over axes; by LayerNormalization where they are the last."""
    x, axes, eps = call.name(0), call.args[3], call.args[4]
    ndim = call.array(0).ndim
    first = ndim - len(axes)
    if tuple(axes) == tuple(range(first, ndim)):
        one = graph.constant(numpy.ones(call.shapes[0][first:]), call.dtype)
        return graph.add("LayerNormalization", x, one, axis=first, epsilon=float(eps))
    centred = graph.add("Sub", x, means(graph, x, axes))
    return _over_deviation(graph, centred, axes, eps, call.dtype)


@form("rms_scaled")
def rms_scaled(graph: Graph, call: Call) -> str:
    """X / sqrt(mean of squares + eps)."""
    return _over_deviation(graph, call.name(0), call.args[1], call.args[2], call.dtype)


# ---- recurrent cells --------------------------------------------------------------------------


def _parts(graph: Graph, call: Call, i: int, count: int) -> list[str]:
    return graph.add("Split", call.name(i), count=count, axis=-1, num_outputs=count)


@form("lstm_cell")
def lstm_cell(graph: Graph, call: Call) -> list[str]:
    """One step of an LSTM from its gates."""
    i, f, u, o = _parts(graph, call, 0, 4)
    i, f, o = (graph.add("Sigmoid", x) for x in (i, f, o))
    kept = graph.add("Mul", f, call.name(1))
    new = graph.add("Add", kept, graph.add("Mul", i, graph.add("Tanh", u)))
    return [graph.add("Mul", o, graph.add("Tanh", new)), new]


@form("gru_cell")
def gru_cell(graph: Graph, call: Call) -> str:
    """One step of a GRU from its gates."""
    ar, az, an = _parts(graph, call, 0, 3)
    br, bz, bn = _parts(graph, call, 1, 3)
    r = graph.add("Sigmoid", graph.add("Add", ar, br))
    z = graph.add("Sigmoid", graph.add("Add", az, bz))
    n = graph.add("Tanh", graph.add("Add", an, graph.add("Mul", r, bn)))
    return graph.add("Add", n, graph.add("Mul", z, graph.add("Sub", call.name(2), n)))
