"""A model written as an ONNX file, from what it does with given arguments."""

from __future__ import annotations

from typing import Any

import numpy

from core.autograd.value import wrap
from core.nn.module import Module
from core.onnx.graph import Graph, onnx_type
from core.onnx.trace import Trace, evaluated, tensors, trace

OLDEST, DEFAULT = 18, 18  # reductions take their axes as an input since 18


def export(
    model: Any, args: Any = (), f: Any = None, *, kwargs: dict[str, Any] | None = None,
    input_names: Any = None, output_names: Any = None, opset_version: int | None = None,
    dynamic_axes: Any = None, verbose: Any = None, export_params: bool = True,
    do_constant_folding: bool = True, dynamo: bool = False,
) -> Any:  # fmt: skip
    """The ONNX model of model(*args, **kwargs) in evaluation mode, also written to the file `f`.

    `dynamic_axes` is {input: {axis: name}} or {input: [axis]}. The model runs twice, the second
    time with other values and sizes of these axes: what changes then without an op is refused.
    Raises: NotImplementedError for an op without an ONNX form; RuntimeError for what changes so.
    """
    onnx, opset = _onnx(), _opset(opset_version)
    args = args if isinstance(args, tuple) else (args,)
    kwargs = kwargs or {}
    found = tensors((args, kwargs))
    _on_the_cpu([*found, *(model.state_dict().values() if isinstance(model, Module) else ())])
    names = _names(input_names, len(found), "input")
    axes = _axes(dynamic_axes, found, names, output_names or ())
    second = iter([wrap(_varied(x.array, axes.get(name, {}))) for name, x in zip(names, found)])
    other = _replaced((args, kwargs), second)
    with evaluated(model):
        one, two = (trace(model, *call) for call in ((args, kwargs), other))
    graph = _graph(model, one, two, names, axes)
    finals = _names(output_names, len(one.outputs), "output")
    if len(dict.fromkeys([*names, *finals])) < len(names) + len(finals):
        raise ValueError(f"a name stands twice among the inputs {names} and outputs {finals}")
    graph.used |= dict.fromkeys(finals)
    outs = [graph.name_of(number) for number in one.outputs]
    made = _assembled(onnx, graph, names, outs, finals, opset)
    if f is not None:
        onnx.save_model(made, f)
    return made


def _onnx() -> Any:
    """The package onnx.

    Raises: ModuleNotFoundError that says how to get it.
    """
    try:
        import onnx
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "core.onnx.export needs the package onnx: pip install unison-ddp[onnx]"
        ) from error
    return onnx


def _opset(given: int | None) -> int:
    if given is not None and given < OLDEST:
        raise ValueError(f"opset_version must be at least {OLDEST}, got {given}")
    return DEFAULT if given is None else given


def _on_the_cpu(every: list[Any]) -> None:
    """Raise where a tensor is somewhere else.

    Raises: ValueError.
    """
    away = next((x for x in every if x.device.type != "cpu"), None)
    if away is not None:
        raise ValueError(
            f"core.onnx.export reads models and arguments on the cpu, got a tensor on {away.device}"
        )


def _names(given: Any, count: int, kind: str) -> list[str]:
    """One name for each tensor.

    Raises: ValueError for more names than tensors.
    """
    given = list(given or [])
    if len(given) > count:
        raise ValueError(f"{len(given)} {kind} names were given for {count} tensors")
    return given + [f"{kind}_{i}" for i in range(len(given), count)]


def _axes(
    given: Any, found: Any, names: list[str], outs: Any
) -> dict[str, dict[int, tuple[str, int]]]:
    """For each input, its open axes: their names, and by how much they are larger the second time.

    Axes of one name grow alike; so do axes without a name that have one size. What is open in the
    outputs follows from this, whatever `given` says of them.
    Raises: ValueError for a name that is neither of an input nor of an output.
    """
    unknown = [name for name in given or {} if name not in (*names, *outs)]
    if unknown:
        raise ValueError(f"dynamic_axes names {unknown}; the inputs are {names}")
    growth: dict[Any, int] = {}
    out: dict[str, dict[int, tuple[str, int]]] = {}
    for name, x in zip(names, found):
        axes = (given or {}).get(name, {})
        labelled = axes if isinstance(axes, dict) else {axis: None for axis in axes}
        for axis, label in labelled.items():
            size = x.shape[axis]
            # More than twice as large: half of it, rounded, is then no constant.
            more = growth.setdefault(label or size, size + 1 + len(growth))
            out.setdefault(name, {})[axis % x.ndim] = (label or f"{name}_axis_{axis}", more)
    return out


def _varied(array: Any, axes: dict[int, tuple[str, int]]) -> Any:
    """Other values, within those that are there for whole numbers; larger along the open axes."""
    generator = numpy.random.default_rng(array.size)
    out = generator.permutation(array.reshape(-1)).reshape(array.shape)
    for axis, (_, more) in axes.items():
        out = numpy.take(out, numpy.arange(out.shape[axis] + more) % out.shape[axis], axis)
    out = numpy.ascontiguousarray(out)
    if array.dtype.kind in "fV":
        out = (out * generator.uniform(-1, 1, out.shape)).astype(array.dtype)
    return out


def _replaced(value: Any, new: Any) -> Any:
    """Nested arguments with each tensor replaced by the next new one."""
    if isinstance(value, dict):
        return {key: _replaced(part, new) for key, part in value.items()}
    if isinstance(value, (tuple, list)):
        return type(value)(_replaced(part, new) for part in value)
    return next(new) if tensors(value) else value


def _graph(model: Any, one: Trace, two: Trace, names: Any, axes: Any) -> Graph:
    """The graph, with its open sizes.

    Raises: RuntimeError where the model does something else the second time.
    """
    first, second = ([(s.name, s.outs) for s in t.steps] for t in (one, two))
    if first != second:
        at = next((i for i, (a, b) in enumerate(zip(first, second)) if a != b), None)
        what = "another number of ops" if at is None else f"{second[at][0]} for {first[at][0]}"
        raise RuntimeError(
            "core.onnx: with other values and sizes of the inputs the model runs other ops"
            f" ({len(first)} and {len(second)} of them; {what}); one file cannot hold both. A loop"
            " over an axis, as in recurrent layers, needs that this axis is not dynamic"
        )
    state = dict(model.state_dict()) if isinstance(model, Module) else {}
    graph = Graph(one, two, names, {id(x.array): name for name, x in state.items()})
    for name, a, b in zip(names, one.inputs, two.inputs):
        for axis, (label, _) in axes.get(name, {}).items():
            size = one.arrays[a].shape[axis], two.arrays[b].shape[axis]
            graph.open.setdefault(size, (name, axis))
            graph.labels.setdefault(size, label)
    return graph


def _assembled(onnx: Any, graph: Graph, names: Any, outs: Any, finals: Any, opset: int) -> Any:
    """The checked ONNX model."""
    one, two = graph.one, graph.two
    nodes = [
        onnx.helper.make_node(n.operator, n.inputs, n.outputs, **n.attributes) for n in graph.nodes
    ]
    nodes += [onnx.helper.make_node("Identity", [a], [b]) for a, b in zip(outs, finals)]

    def infos(which: list[str], numbers: list[int], others: list[int]) -> list[Any]:
        made = []
        for name, a, b in zip(which, numbers, others):
            x, y = one.arrays[a], two.arrays[b]
            shape = [_size(graph, *sizes) for sizes in zip(x.shape, y.shape)]
            made.append(onnx.helper.make_tensor_value_info(name, onnx_type(x.dtype), shape))
        return made

    constants = [onnx.numpy_helper.from_array(x, name) for name, x in graph.constants.items()]
    body = onnx.helper.make_graph(
        nodes, "model", infos(names, one.inputs, two.inputs),
        infos(finals, one.outputs, two.outputs), constants,
    )  # fmt: skip
    opsets = [onnx.helper.make_opsetid("", opset)]
    made = onnx.helper.make_model(body, opset_imports=opsets, producer_name="unison")
    made.ir_version = min(made.ir_version, 10)  # what onnxruntime 1.18 reads
    onnx.checker.check_model(made, full_check=True)
    return made


def _size(graph: Graph, a: int, b: int) -> Any:
    return a if a == b else graph.labels.get((a, b))
