"""A network as TensorBoard draws it: the ops that it runs, in the modules that run them."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tensorboard.compat.proto.attr_value_pb2 import AttrValue
from tensorboard.compat.proto.config_pb2 import RunMetadata
from tensorboard.compat.proto.graph_pb2 import GraphDef
from tensorboard.compat.proto.node_def_pb2 import NodeDef
from tensorboard.compat.proto.step_stats_pb2 import DeviceStepStats, StepStats
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.compat.proto.versions_pb2 import VersionDef

from core.autograd.mode import no_grad, watching
from core.onnx.trace import Slot, Trace, evaluated, slots_in, tensors
from core.profiler.names import name_of

_PRODUCER = 22  # the version of the format that PyTorch writes


class _Scoped(Trace):
    """A trace that knows of each step in which module it was made, and by which op."""

    def __init__(self, root: str) -> None:
        super().__init__()
        self.scopes = [root]
        self.made: list[tuple[str, Any]] = []

    def after(self, op: Any, out: Any) -> None:
        """Note the step; before it come the views that its arguments needed."""
        super().after(op, out)
        views = len(self.steps) - len(self.made) - 1
        self.made += [(self.scopes[-1], None)] * views + [(self.scopes[-1], op)]


class _Drawing:
    """The nodes of a graph, and the name of what each slot of a trace holds."""

    def __init__(self, model: Any, inputs: Any) -> None:
        self.model, self.root = model, type(model).__name__
        self.trace = _Scoped(self.root)
        self.nodes: list[NodeDef] = []
        self.names: dict[int, str] = {}
        self._used: dict[str, int] = {}
        args = tuple(inputs) if isinstance(inputs, (tuple, list)) else (inputs,)
        for x, name in zip(tensors(args), _arguments(model, args), strict=True):
            self._add(self.trace.slot(x.array), f"input/{name}", "IO Node")
        for name, x in (*model.named_parameters(), *model.named_buffers()):
            said = {"name": name.rpartition(".")[2]}
            self._add(self.trace.slot(x.array), self._path(name), "prim::GetAttr", (), said)
        with evaluated(model), self._scopes(), no_grad(), watching(self.trace):
            outs = tensors(model(*args))
        numbers = [self.trace.slot(x.array) for x in outs]
        self._steps()
        for i, number in enumerate(numbers):
            source = self._name(number, self.root)
            self._node(f"output/output.{i + 1}", "IO Node", number, [source])

    def _path(self, name: str) -> str:
        """Where a module or a parameter stands: Net/Linear[head]/weight."""
        path, module = [self.root], self.model
        for part in name.split("."):
            inner = dict(module.named_children()).get(part)
            path.append(part if inner is None else f"{type(inner).__name__}[{part}]")
            module = module if inner is None else inner
        return "/".join(path)

    @contextmanager
    def _scopes(self) -> Iterator[None]:
        """A context in which the trace is told which module runs."""
        scopes, handles = self.trace.scopes, []

        def entering(path: str) -> Any:
            return lambda module, args: scopes.append(path)

        def left(module: Any, args: Any, out: Any) -> None:
            scopes.pop()

        for name, module in self.model.named_modules():
            if name:
                enter = entering(self._path(name))
                handles.append(module.register_forward_pre_hook(enter, prepend=True))
                handles.append(module.register_forward_hook(left, always_call=True))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _steps(self) -> None:
        made = itertools.chain(self.trace.made, itertools.repeat((self.root, None)))
        for step, (scope, op) in zip(self.trace.steps, made):
            kind = "aten::reshape" if op is None else name_of(op)
            sources = [self._name(number, scope) for number in slots_in(step.args)]
            for number in step.outs:
                short = f"{scope}/{kind.rpartition(':')[2]}"
                self._add(number, short, kind, sources, _settings(op, step.args))

    def _name(self, number: int, scope: str) -> str:
        """The name of what a slot holds: of a constant that no step made, a new one."""
        if number not in self.names:
            self._add(number, f"{scope}/constant", "prim::Constant")
        return self.names[number]

    def _add(self, number: int, name: str, kind: str, sources: Any = (), said: Any = None) -> None:
        self._used[name] = count = self._used.get(name, 0) + 1
        self.names[number] = name if count == 1 else f"{name}_{count - 1}"
        self._node(self.names[number], kind, number, sources, said)

    def _node(self, name: str, kind: str, number: int, sources: Any, said: Any = None) -> None:
        sizes = [TensorShapeProto.Dim(size=n) for n in self.trace.arrays[number].shape]
        shapes = AttrValue.ListValue(shape=[TensorShapeProto(dim=sizes)])
        # TensorBoard takes single quotes amiss.
        text = str(said or {}).replace("'", " ").encode() if kind != "IO Node" else b""
        attributes = {"attr": AttrValue(s=text), "_output_shapes": AttrValue(list=shapes)}
        self.nodes.append(NodeDef(name=name, op=kind, input=sources, attr=attributes))


def graph(model: Any, inputs: Any) -> tuple[GraphDef, RunMetadata]:
    """The ops that the model runs in evaluation, on a tensor or several, and where they ran."""
    nodes = _Drawing(model, inputs).nodes
    places = StepStats(dev_stats=[DeviceStepStats(device="/device:CPU:0")])
    whole = GraphDef(node=nodes, versions=VersionDef(producer=_PRODUCER))
    return whole, RunMetadata(step_stats=places)


def _arguments(model: Any, args: Any) -> list[str]:
    """The names of the inputs in `forward`, numbered where an argument holds several."""
    known = inspect.signature(model.forward).bind(*args).arguments
    held = [(name, len(tensors(value))) for name, value in known.items()]
    return [name if count == 1 else f"{name}.{i + 1}" for name, count in held for i in range(count)]


def _settings(op: Any, args: Any) -> dict[str, Any]:
    """The arguments of a step that are no tensors, by name."""
    if op is None:
        return {}
    named = zip(op.params, args)
    return {name: a for name, a in named if not isinstance(a, Slot) and a is not None}
