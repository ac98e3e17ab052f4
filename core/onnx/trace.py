"""What a model does with its arguments: the ops it runs, in order, and what passes between them."""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy

from core.autograd.mode import no_grad, watching
from core.autograd.value import Value
from core.nn.module import Module


class Slot(NamedTuple):
    """The number of an array in a trace."""

    number: int


class Step(NamedTuple):
    """One op: its name, its arguments with slots for arrays, and the slots of its results."""

    name: str
    args: tuple[Any, ...]
    outs: tuple[int, ...]


class Trace:
    """The steps of one call, and the array in each slot; a watcher of ops.

    An array is known by its memory: an array that layers made of it without copying, like a flat
    view of indices, becomes a reshape of it. What was written in place under another name, so that
    the steps do not tell what an array holds, is found by its checksum.
    """

    def __init__(self) -> None:
        self.arrays: list[Any] = []
        self.steps: list[Step] = []
        self.inputs: list[int] = []
        self.outputs: list[int] = []
        self._slots: dict[int, tuple[int, int]] = {}
        self._flat: dict[Any, int] = {}
        self._kept: list[Any] = []
        self._waiting: tuple[str, Any] = ("", ())

    def __call__(self, op: Any, args: Any) -> Any:
        self._waiting = op.name, tuple(self._taken(a) for a in args)
        return args

    def after(self, op: Any, out: Any) -> None:
        """Note the results of the op whose arguments came last."""
        outs = out if isinstance(out, tuple) else (out,)
        self.steps.append(Step(*self._waiting, tuple(self._new(array_of(x)) for x in outs)))

    def written(self, x: Any, new: Any) -> None:
        """Note that the memory of `x` now holds what `new` holds."""
        self._name(x.array, self.slot(new.array))

    def _taken(self, a: Any) -> Any:
        if isinstance(a, (Value, numpy.ndarray)):
            return Slot(self.slot(array_of(a)))
        return tuple(map(self._taken, a)) if type(a) is tuple else a

    def slot(self, array: Any) -> int:
        """The number of an array; a new one for one that no step made.

        Raises: RuntimeError where it was written to, and the steps do not tell what.
        """
        if id(array) in self._slots:
            number, checksum = self._slots[id(array)]
            if checksum == _checksum(array):
                return number
            raise RuntimeError(
                f"core.onnx: a tensor of shape {list(array.shape)} was written to in place through"
                " a view or an index; write the model without it to export it"
            )
        whole = self._flat.get(_place(array))
        number = self._new(array)
        if whole is not None:
            self.steps.append(Step("reshape_array", (Slot(whole), tuple(array.shape)), (number,)))
        return number

    def _new(self, array: Any) -> int:
        self.arrays.append(array)
        self._name(array, len(self.arrays) - 1)
        return len(self.arrays) - 1

    def _name(self, array: Any, number: int) -> None:
        self._kept.append(array)  # while it lives, its id and its memory are its own
        self._slots[id(array)] = number, _checksum(array)
        place = _place(array)
        if place is not None:
            self._flat[place] = number


def array_of(x: Any) -> Any:
    """The array of a tensor; an array or a number as an array."""
    return x.array if isinstance(x, Value) else numpy.asarray(x)


def _checksum(array: Any) -> int:
    return zlib.crc32(array.tobytes())


def _place(array: Any) -> Any:
    """Where the memory of an array starts and how much it is; None where it is no single run."""
    if not array.flags.c_contiguous or not array.size:
        return None
    return array.ctypes.data, array.size, array.dtype.str


def trace(model: Any, args: Any, kwargs: Any) -> Trace:
    """The trace of model(*args, **kwargs).

    Raises: TypeError where the model gives back something else than tensors.
    """
    found = Trace()
    found.inputs = [found.slot(x.array) for x in tensors((args, kwargs))]
    with no_grad(), watching(found):
        out = model(*args, **kwargs)
    found.outputs = [found.slot(x.array) for x in tensors(out)]
    if not found.outputs:
        raise TypeError(f"core.onnx: the model gave back no tensor but {type(out).__name__}")
    return found


@contextlib.contextmanager
def evaluated(model: Any) -> Iterator[None]:
    """A context in which a model, if it is one, and each module in it is in evaluation mode."""
    modules = list(model.modules()) if isinstance(model, Module) else []
    before = [module.training for module in modules]
    for module in modules:
        module.training = False
    try:
        yield
    finally:
        for module, training in zip(modules, before):
            module.training = training


def slots_in(args: Any) -> list[int]:
    """The numbers of all slots in arguments."""
    if isinstance(args, Slot):
        return [args.number]
    return [n for a in args for n in slots_in(a)] if isinstance(args, tuple) else []


def tensors(value: Any) -> list[Any]:
    """The tensors in nested tuples, lists and dicts, in order."""
    if isinstance(value, Value):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    return [x for part in value for x in tensors(part)] if isinstance(value, (tuple, list)) else []
