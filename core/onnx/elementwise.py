"""ONNX forms of functions of each element."""

from __future__ import annotations

import math
from typing import Any

import numpy

from core.onnx.graph import Call, Graph, form

# Ours on the left, of one argument.
UNARY = {
    "relu": "Relu", "sigmoid": "Sigmoid", "tanh": "Tanh", "exp": "Exp", "log": "Log",
    "sqrt": "Sqrt", "abs": "Abs", "neg": "Neg", "sign": "Sign", "erf": "Erf", "floor": "Floor",
    "ceil": "Ceil", "round": "Round", "sin": "Sin", "cos": "Cos", "tan": "Tan", "asin": "Asin",
    "acos": "Acos", "atan": "Atan", "sinh": "Sinh", "cosh": "Cosh", "asinh": "Asinh",
    "acosh": "Acosh", "atanh": "Atanh", "reciprocal": "Reciprocal", "logical_not": "Not",
    "isnan": "IsNaN", "isinf": "IsInf", "hardswish": "HardSwish", "clone": "Identity",
    "compact": "Identity", "weigh_gradient": "Identity",
}  # fmt: skip
BINARY = {
    "plus": "Add", "minus": "Sub", "mul": "Mul", "quotient": "Div", "pow": "Pow",
    "maximum": "Max", "minimum": "Min", "logical_and": "And", "logical_or": "Or",
    "logical_xor": "Xor",
}  # fmt: skip
COMPARISONS = {
    "eq": "Equal", "lt": "Less", "le": "LessOrEqual", "gt": "Greater", "ge": "GreaterOrEqual",
}  # fmt: skip


@form(*UNARY)
def unary(graph: Graph, call: Call) -> str:
    """One node of one argument, in the dtype of the result where that is a float."""
    dtype = call.dtype if call.dtype.kind in "fV" else None
    return graph.add(UNARY[call.step.name], call.name(0, dtype))


@form(*BINARY)
def binary(graph: Graph, call: Call) -> str:
    """One node of two arguments, both in the dtype of the result."""
    return graph.add(BINARY[call.step.name], call.name(0, call.dtype), call.name(1, call.dtype))


@form(*COMPARISONS, "ne")
def comparison(graph: Graph, call: Call) -> str:
    """One node of two arguments, both in the dtype that NumPy compares them in."""
    parts = [call.array(i) if call.is_tensor(i) else call.args[i] for i in (0, 1)]
    dtype = numpy.result_type(*parts)
    names = call.name(0, dtype), call.name(1, dtype)
    if call.step.name == "ne":
        return graph.add("Not", graph.add("Equal", *names))
    return graph.add(COMPARISONS[call.step.name], *names)


@form("choose")
def choose(graph: Graph, call: Call) -> str:
    """Where: a condition and two choices."""
    return graph.add(
        "Where", call.name(0, bool), call.name(1, call.dtype), call.name(2, call.dtype)
    )


@form("masked_fill")
def masked_fill(graph: Graph, call: Call) -> str:
    """Where, with the value where the mask is set."""
    mask, value = call.name(1, bool), call.name(2, call.dtype)
    return graph.add("Where", mask, value, call.name(0, call.dtype))


@form("cast")
def cast(graph: Graph, call: Call) -> str:
    """Another dtype."""
    return call.name(0, call.dtype)


@form("squared_difference")
def squared_difference(graph: Graph, call: Call) -> str:
    """(a - b) squared."""
    d = graph.add("Sub", call.name(0, call.dtype), call.name(1, call.dtype))
    return graph.add("Mul", d, d)


@form("affine")
def affine(graph: Graph, call: Call) -> str:
    """X * w + b."""
    out = graph.add("Mul", call.name(0, call.dtype), call.name(1, call.dtype))
    return out if call.args[2] is None else graph.add("Add", out, call.name(2, call.dtype))


@form("clamp", "hardtanh_at")
def clamp(graph: Graph, call: Call) -> str:
    """Kept between two bounds, either of which may be None."""
    bounds = ["" if call.args[i] is None else call.name(i, call.dtype) for i in (1, 2)]
    return graph.add("Clip", call.name(0, call.dtype), *bounds)


# ---- activations ------------------------------------------------------------------------------


def scaled(graph: Graph, x: str, factor: float, dtype: Any) -> str:
    """X times a number."""
    return x if factor == 1 else graph.add("Mul", x, graph.constant(factor, dtype))


@form("leaky")
def leaky(graph: Graph, call: Call) -> str:
    """LeakyRelu."""
    return graph.add("LeakyRelu", call.name(0), alpha=float(call.args[1]))


@form("prelu_of")
def prelu(graph: Graph, call: Call) -> str:
    """PRelu."""
    return graph.add("PRelu", call.name(0), call.name(1))


@form("elu_at")
def elu(graph: Graph, call: Call) -> str:
    """Elu, with a factor; with a speed below zero, where it is celu."""
    _, alpha, scale, speed = call.args
    if speed == 1:
        out = graph.add("Elu", call.name(0), alpha=float(alpha))
    else:
        inner = scaled(graph, call.name(0), speed, call.dtype)
        # x above zero must not take the factor: elu(speed x) / speed is x there.
        out = graph.add("Elu", inner, alpha=float(alpha * speed))
        out = scaled(graph, out, 1 / speed, call.dtype)
    return scaled(graph, out, scale, call.dtype)


@form("gelu_erf")
def gelu_erf(graph: Graph, call: Call) -> str:
    """X / 2 * (1 + erf(x / sqrt 2))."""
    x = call.name(0)
    inner = graph.add("Erf", scaled(graph, x, math.sqrt(0.5), call.dtype))
    inner = graph.add("Add", inner, graph.constant(1, call.dtype))
    return graph.add("Mul", scaled(graph, x, 0.5, call.dtype), inner)


@form("gelu_tanh")
def gelu_tanh(graph: Graph, call: Call) -> str:
    """X / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3)))."""
    x = call.name(0)
    cube = graph.add("Mul", graph.add("Mul", x, x), x)
    inner = graph.add("Add", x, scaled(graph, cube, 0.044715, call.dtype))
    inner = graph.add("Tanh", scaled(graph, inner, math.sqrt(2 / math.pi), call.dtype))
    inner = graph.add("Add", inner, graph.constant(1, call.dtype))
    return graph.add("Mul", scaled(graph, x, 0.5, call.dtype), inner)


@form("silu")
def silu(graph: Graph, call: Call) -> str:
    """X * sigmoid(x)."""
    return graph.add("Mul", call.name(0), graph.add("Sigmoid", call.name(0)))


@form("mish")
def mish(graph: Graph, call: Call) -> str:
    """X * tanh(softplus(x))."""
    inner = graph.add("Tanh", graph.add("Softplus", call.name(0)))
    return graph.add("Mul", call.name(0), inner)


@form("softplus_at")
def softplus(graph: Graph, call: Call) -> str:
    """log(1 + exp(beta x)) / beta; above the threshold x itself, which is nearly that."""
    _, beta, threshold = call.args
    inner = scaled(graph, call.name(0), beta, call.dtype)
    out = scaled(graph, graph.add("Softplus", inner), 1 / beta, call.dtype)
    above = graph.add("Greater", inner, graph.constant(threshold, call.dtype))
    return graph.add("Where", above, call.name(0), out)


@form("log_sigmoid")
def log_sigmoid(graph: Graph, call: Call) -> str:
    """-softplus(-x)."""
    return graph.add("Neg", graph.add("Softplus", graph.add("Neg", call.name(0))))


@form("hardsigmoid")
def hardsigmoid(graph: Graph, call: Call) -> str:
    """HardSigmoid with PyTorch's slope."""
    return graph.add("HardSigmoid", call.name(0), alpha=1 / 6, beta=0.5)


@form("softshrink_at", "hardshrink_at")
def shrink(graph: Graph, call: Call) -> str:
    """Shrink."""
    width = float(call.args[1])
    soft = call.step.name == "softshrink_at"
    return graph.add("Shrink", call.name(0), bias=width if soft else 0.0, lambd=width)


@form("threshold_at")
def threshold(graph: Graph, call: Call) -> str:
    """X above the threshold, the value elsewhere."""
    above = graph.add("Greater", call.name(0), call.name(1, call.dtype))
    return graph.add("Where", above, call.name(0), call.name(2, call.dtype))


@form("softmax_axis", "log_softmax_axis")
def softmax(graph: Graph, call: Call) -> str:
    """Softmax, LogSoftmax."""
    operator = "Softmax" if call.step.name == "softmax_axis" else "LogSoftmax"
    return graph.add(operator, call.name(0), axis=int(call.args[1]))
