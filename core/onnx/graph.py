"""An ONNX graph while it is made: nodes, constants, and sizes that stay open."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy

from core.onnx.trace import Slot, Step, Trace, slots_in


class Node(NamedTuple):
    """One node: its operator, names that go in and out, and attributes."""

    operator: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any]


# Their forms look at the sizes in both traces.
SIZED = (
    "reshape_array copied_in_shape alias_in_shape unsqueeze squeeze broadcast_array expand slice"
    " select alias split split_with_sizes conv_input"
).split()
# Statistics are computed again, and gradients do not matter.
FIRST_ONLY = ("standardise", "weigh_gradient")
FORMS: dict[str, Callable[[Graph, Call], Any]] = {}


def form(*names: str) -> Callable[[Any], Any]:
    """A decorator: the function adds the ONNX form of these ops, and gives the names of results."""

    def register(function: Any) -> Any:
        FORMS.update(dict.fromkeys(names, function))
        return function

    return register


class Graph:
    """What a trace becomes. A second trace, with other sizes and values, tells what stays open.

    `open` has for each open size the values that it has in the two traces, and the input and the
    axis from which the graph can read it; `labels` what users call it.
    """

    def __init__(self, one: Trace, two: Trace, names: Sequence[str], known: dict[int, str]) -> None:
        self.one, self.two, self.known = one, two, known
        self.nodes: list[Node] = []
        self.constants: dict[str, Any] = {}
        self.open: dict[tuple[int, int], tuple[str, int]] = {}
        self.labels: dict[tuple[int, int], str] = {}
        self.names = dict(zip(one.inputs, names))
        self.makers = {number: i for i, step in enumerate(one.steps) for number in step.outs}
        self.depends = self._dependent()
        self.used = dict.fromkeys(names)

    def _dependent(self) -> dict[int, bool]:
        """The slots whose contents the inputs change."""
        found = dict.fromkeys(self.one.inputs, True)
        for step in self.one.steps:
            if any(number in found for number in slots_in(step.args)):
                found |= dict.fromkeys(step.outs, True)
        return found

    def new(self, operator: str) -> str:
        """A name that is not used yet."""
        count = len(self.used)
        while (name := f"{operator.lower()}_{count}") in self.used:
            count += 1
        self.used[name] = None
        return name

    def add(self, operator: str, *inputs: str, count: int = 1, **attributes: Any) -> Any:
        """The name of a new node's result, or a list of names."""
        outs = [self.new(operator) for _ in range(count)]
        self.nodes.append(Node(operator, list(inputs), outs, attributes))
        return outs[0] if count == 1 else outs

    def constant(self, value: Any, dtype: Any = None, name: str = "") -> str:
        """The name of a constant."""
        name = name if name and name not in self.used else self.new("constant")
        self.used[name] = None
        self.constants[name] = numpy.ascontiguousarray(numpy.asarray(value, dtype))
        return name

    def ints(self, one: Sequence[int], two: Sequence[int]) -> str:
        """The name of a vector of sizes, of which those that differ are read from the inputs.

        Raises: RuntimeError for one that is the size of no open axis.
        """
        if list(one) == list(two):
            return self.constant(list(one), "int64")
        return self.add("Concat", *(self.int_of(a, b) for a, b in zip(one, two)), axis=0)

    def int_of(self, a: int, b: int) -> str:
        """The name of a vector of one size."""
        if a == b:
            return self.constant([a], "int64")
        for (p, q), (name, axis) in self.open.items():
            if a - p == b - q or (p and q and a % p == b % q == 0 and a // p == b // q):
                size = self.add("Shape", name, start=axis, end=axis + 1)
                if (a, b) == (p, q):
                    return size
                operator, by = ("Add", a - p) if a - p == b - q else ("Mul", a // p)
                return self.add(operator, size, self.constant([by], "int64"))
        raise RuntimeError(
            f"core.onnx: a size that is {a} here and {b} with other dynamic axes is neither a"
            f" multiple of a dynamic axis nor larger by a number; these are {sorted(self.open)}"
        )

    # ---- from slots to names ----

    def name_of(self, number: int) -> str:
        """The name of what a slot holds, made with all that it needs.

        Raises: NotImplementedError for an op that has no form here.
        """
        pending = [number]
        while pending:
            last = pending[-1]
            if last in self.names:
                pending.pop()
            elif last not in self.makers or self._fixed(last):
                self.names[last] = self._leaf(last)
            else:
                self._made(self.makers[last], pending)
        return self.names[number]

    def _fixed(self, number: int) -> bool:
        return number not in self.depends and same(self.one.arrays[number], self.two.arrays[number])

    def _made(self, at: int, pending: list[int]) -> None:
        """Add a step once all that it reads has a name; ask for that before."""
        step, other = self.one.steps[at], self.two.steps[at]
        if step.name not in FORMS:
            raise NotImplementedError(f"core.onnx: the op {step.name!r} has no ONNX form here yet")
        if step.name not in SIZED and _plain(step.args) != _plain(other.args):
            raise RuntimeError(
                f"core.onnx: {step.name} is called with {_plain(step.args)} here and with"
                f" {_plain(other.args)} with other values and sizes of the inputs"
            )
        wanted = [n for n in read_by(step) if n not in self.names]
        if wanted:
            pending += wanted
            return
        outs = FORMS[step.name](self, Call(self, step, other))
        outs = [outs] if isinstance(outs, str) else outs
        self.names.update(zip(step.outs, outs, strict=True))

    def _leaf(self, number: int) -> str:
        """A constant; one whose size is open has one value all over.

        Raises: RuntimeError where it depends on the inputs in a way that no step tells.
        """
        a, b = self.one.arrays[number], self.two.arrays[number]
        if same(a, b):
            return self.constant(a, None, self.known.get(id(a), ""))
        if (
            a.ndim == b.ndim
            and a.size
            and b.size
            and (a == a.flat[0]).all()
            and same(a.reshape(-1)[:1], b.reshape(-1)[:1])
        ):
            return self.add("Expand", self.constant(a.reshape(-1)[0]), self.ints(a.shape, b.shape))
        raise RuntimeError(
            f"core.onnx: a tensor of shape {list(a.shape)} that the model computes outside of its"
            " ops changes with the inputs or with the dynamic axes; it cannot become a constant"
        )


def same(a: Any, b: Any) -> bool:
    """Whether two arrays hold the same, NaN included."""
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()


def read_by(step: Step) -> list[int]:
    """The numbers of the slots that a step's ONNX form reads."""
    return slots_in(step.args[:1] if step.name in FIRST_ONLY else step.args)


def _plain(args: Any) -> Any:
    """Arguments without their slots."""
    if isinstance(args, Slot):
        return None
    return tuple(map(_plain, args)) if isinstance(args, tuple) else args


class Call:
    """One step as its form sees it: names of tensors, and the values of the two traces."""

    def __init__(self, graph: Graph, step: Step, other: Step) -> None:
        self.graph, self.step, self.other = graph, step, other
        self.args = step.args
        self.shapes = [tuple(graph.one.arrays[n].shape) for n in step.outs]
        self.dtype = graph.one.arrays[step.outs[0]].dtype

    def is_tensor(self, i: int) -> bool:
        """Whether an argument is a tensor."""
        return isinstance(self.args[i], Slot)

    def array(self, i: int) -> Any:
        """The array of an argument in the first trace."""
        return self.graph.one.arrays[self.args[i].number]

    def name(self, i: int, dtype: Any = None) -> str:
        """The name of an argument, cast to a dtype; of a number as a constant."""
        want = dtype if dtype is not None else self.dtype
        if not self.is_tensor(i):
            return self.graph.constant(self.args[i], want)
        name = self.graph.names[self.args[i].number]
        if dtype is None or self.array(i).dtype == want:
            return name
        return self.graph.add("Cast", name, to=onnx_type(want))

    def sizes(self, which: int = 0) -> str:
        """The name of the shape of a result."""
        one = self.graph.one.arrays[self.step.outs[which]].shape
        two = self.graph.two.arrays[self.other.outs[which]].shape
        return self.graph.ints(one, two)


# Of onnx.TensorProto, which is only imported when a model is written.
TYPES = {
    "float32": 1, "uint8": 2, "int8": 3, "int16": 5, "int32": 6, "int64": 7, "bool": 9,
    "float16": 10, "float64": 11, "bfloat16": 16,
}  # fmt: skip


def onnx_type(dtype: Any) -> int:
    """ONNX's number for a dtype."""
    return TYPES[numpy.dtype(dtype).name]
