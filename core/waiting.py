"""A convolution's result that waits: for a ReLU and a max pool that may come, or for a reader.

A convolution of few channels is computed when its result is first read. Where nothing but a ReLU
and a max pool over tiles came of it, and both it and the ReLU's result are gone when the pool's is
read, as in `pool(relu(conv(x)))`, the three are one op, which never makes what lies between. What
was to be computed is settled at the call: with copies of the arrays, and as the call was recorded.
"""

from __future__ import annotations

import abc
import functools
import threading
import weakref
from collections.abc import Callable
from typing import Any

import numpy
from numpy import ndarray

from core.autograd.mode import mode
from core.autograd.record import fused_result, result, wanted_of
from core.autograd.value import Kind, Value, count_of
from core.ops.choice import relu
from core.ops.conv import Window, convolution
from core.ops.conv_pool import conv_relu_pool
from core.ops.pool import max_windows
from core.size import Size
from core.tensor import Tensor

_sized = tuple.__new__  # the sizes of an array are plain ints: Size would look at each
_CHANNELS = 8  # of the input, above which a product takes longer than what it is spared
_SLOTS = [Value.__dict__[name] for name in Value.__slots__ if name != "__weakref__"]


def _slot(name: str) -> property:
    def read(self: Waiting) -> Any:
        return getattr(made(self), name)

    def write(self: Waiting, value: Any) -> None:
        setattr(made(self), name, value)

    return property(read, write)


class Waiting(Tensor):
    """A tensor whose array nobody has read: then it is made, and is a Tensor like any other."""

    __slots__ = ()
    __module__ = "core"

    array, base, leaf = _slot("array"), _slot("base"), _slot("leaf")
    needs_grad, node, version = _slot("needs_grad"), _slot("node"), _slot("version")

    @property
    def shape(self) -> Size:
        """The sizes of the dims."""
        step = self.__dict__.get("step")
        return _sized(Size, made(self).array.shape if step is None else step.shape)

    def relu_(self) -> Any:
        """This tensor, or 0 where it is less."""
        step = self.__dict__.get("step")
        if type(step) is not _Convolution or step.followers or not step.call.goes_on():
            return made(self).relu_()
        step.holder = _nobody
        return _hold(self, _Relu(step, True))

    def with_relu(self) -> Any:
        """The ReLU of this tensor, waiting too, or None where this is to be read first."""
        step = self.__dict__.get("step")
        if type(step) is not _Convolution or not step.call.goes_on():
            return None
        return _waiting(_Relu(step, False))

    def with_pool(self, kernel: Any, stride: Any, padding: Any, dilation: Any) -> Any:
        """The max pool of this tensor, waiting too, or None where this is to be read first."""
        step = self.__dict__.get("step")
        if type(step) is not _Relu or not step.call.goes_on():
            return None
        sizes = _pooled(step.shape[2:], kernel, stride, padding, dilation)
        return None if sizes is None else _waiting(_Pool(step, (*step.shape[:2], *sizes), kernel))

    def __reduce_ex__(self, protocol: Any) -> Any:
        return made(self).__reduce_ex__(protocol)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return made(self).__deepcopy__(memo)

    def __copy__(self) -> Any:
        return made(self).__copy__()


Waiting.__name__ = Waiting.__qualname__ = Tensor.__name__
Kind.waiting = Waiting


def _nobody() -> None:
    return None


def _hold(t: Waiting, step: _Step) -> Waiting:
    t.__dict__["step"] = step
    step.holder = weakref.ref(t)
    return t


def made(t: Any) -> Any:
    """The tensor itself, which waits no longer."""
    step = t.__dict__.get("step")
    if step is None:
        return t
    with step.call.lock:
        if "step" in t.__dict__:
            new = step.make() if step.call.goes_on() else step.call.again(step.make)
            if step.result is not None:  # what it is made of made it, as all that follows from it
                return t
            for slot in _SLOTS:  # first, as other threads may be about to read them
                slot.__set__(t, slot.__get__(new))
            t.__class__ = Kind.of_results
            del t.__dict__["step"]
            step.result = t
            step.make_followers()  # the reader may write to it
    return t


class _Call:
    """What a convolution was called with, as it was then."""

    __slots__ = (
        "args", "arrays", "counts", "edges", "inference", "lock", "recording", "tensors", "wanted",
    )  # fmt: skip

    def __init__(self, args: tuple[Any, ...]) -> None:
        self.args = args
        self.recording = recording = mode.recording
        self.inference = mode.inference
        self.tensors, self.arrays, self.edges, self.wanted = [], [], [], []
        for a in args[:3]:  # spelled out: a comprehension costs a call before Python 3.12
            if a is not None:
                self.tensors.append(a)
                self.arrays.append(a.array.copy())
                self.wanted.append(recording and wanted_of(a))
                self.edges.append(a.node or a)
        self.counts = list(map(count_of, self.tensors)) if any(self.wanted) else []
        self.lock = threading.RLock()

    def goes_on(self) -> bool:
        """Whether an op called now is recorded as the convolution was, and seen by nobody."""
        if mode.fast is None or not mode.accelerated:
            return False
        return mode.recording is self.recording and mode.inference is self.inference

    def again(self, function: Callable[[], Any]) -> Any:
        """What the function gives in the state of the call."""
        before = mode.recording, mode.inference, mode.watchers, mode.accelerated
        mode.inference, mode.watchers, mode.accelerated = self.inference, (), True
        mode.record(self.recording)
        try:
            return function()
        finally:
            recording, mode.inference, mode.watchers, mode.accelerated = before
            mode.record(recording)

    def is_as_it_was(self) -> bool:
        """Whether the arguments still are what they were."""
        tensors = self.tensors
        if self.recording and list(map(wanted_of, tensors)) != self.wanted:
            return False
        if self.counts and list(map(count_of, tensors)) != self.counts:
            return False
        return all(numpy.array_equal(a.array, b) for a, b in zip(tensors, self.arrays, strict=True))

    def recorded(self, op: Any, arrays: Any, out: Any) -> Any:
        """The result of an op of the call's arguments, as if it had been recorded at the call."""
        every = (1 << len(self.arrays)) - 1  # the tensors come first
        t = result(op, self.args, arrays, every, self.wanted_bits(), out)
        if t.node is not None:
            known = {id(a): count for a, count in zip(self.tensors, self.counts, strict=True)}
            t.node.versions = [known[id(a)] for a in t.node.saved if isinstance(a, Value)]
            t.node.edges = self.wanted_edges()
        return t

    def recorded_fused(self, op: Any, args: Any, fused: Any) -> Any:
        """The same for the result of an acceleration."""
        counts = [*self.counts, *[0] * (len(args) - len(self.counts))]
        return fused_result(op, args, self.wanted_bits(), fused, self.wanted_edges(), counts)

    def wanted_bits(self) -> int:
        """Which arguments want gradients, as bits of their positions."""
        return sum(1 << i for i, flag in enumerate(self.wanted) if flag)

    def wanted_edges(self) -> list[Any]:
        """Where gradients go to."""
        return [edge for edge, flag in zip(self.edges, self.wanted, strict=True) if flag]


class _Step(abc.ABC):
    """One of the results; its tensor may be gone, or may have been read."""

    __slots__ = ("__weakref__", "call", "followers", "holder", "result", "shape")

    def __init__(self, call: _Call, shape: tuple[int, ...]) -> None:
        self.call, self.shape = call, shape
        self.holder: Callable[[], Any] = _nobody
        self.result: Any = None
        self.followers: list[weakref.ref[_Step]] = []

    def make_followers(self) -> None:
        """Nothing; what is made of this does not wait any longer."""
        for reference in self.followers:
            step = reference()
            t = None if step is None else step.holder()
            if t is not None:
                made(t)
            elif step is not None:
                step.make_followers()

    @abc.abstractmethod
    def make(self) -> Any:
        """The result, not waiting."""

    def made(self) -> Any:
        """The tensor, that of the program where there is one."""
        if self.result is None:
            t = self.holder()
            self.result = self.call.again(self.make) if t is None else made(t)
        return self.result

    def is_unseen(self) -> bool:
        """Whether nobody has read the result, nor can."""
        return self.result is None and self.holder() is None


class _Convolution(_Step):
    __slots__ = ()

    def make(self) -> Any:
        call = self.call
        if call.is_as_it_was():
            return convolution(*call.args)
        arrays = [*call.arrays, *call.args[len(call.arrays) :]]
        out = convolution.op.direct(*arrays)
        return call.recorded(convolution.op, arrays, out)


class _Follower(_Step):
    """One that is made of what the step before gives."""

    __slots__ = ("before",)

    def __init__(self, before: Any, shape: tuple[int, ...]) -> None:
        super().__init__(before.call, shape)
        self.before = before
        before.followers.append(weakref.ref(self))

    def make(self) -> Any:
        x = self.before.made()
        return self.of(x) if self.result is None else self.result  # made as what follows from x

    @abc.abstractmethod
    def of(self, x: Any) -> Any:
        """What is made of the tensor before."""


class _Relu(_Follower):
    __slots__ = ("inplace",)

    def __init__(self, before: _Convolution, inplace: bool) -> None:
        super().__init__(before, before.shape)
        self.inplace = inplace

    def of(self, x: Any) -> Any:
        return x.relu_() if self.inplace else relu(x)


class _Pool(_Follower):
    __slots__ = ("tile",)

    def __init__(self, before: _Relu, shape: tuple[int, ...], tile: tuple[int, ...]) -> None:
        super().__init__(before, shape)
        self.tile = tile

    def make(self) -> Any:
        made = NotImplemented
        if self.before.is_unseen() and self.before.before.is_unseen():
            made = self.in_one()
        return super().make() if made is NotImplemented else made

    def in_one(self) -> Any:
        """The pool of the ReLU of the convolution, without these."""
        call = self.call
        others = [*call.args[len(call.arrays) : 3], call.args[4], self.tile]
        fast: Any = conv_relu_pool.op.fast[ndarray]
        fused = fast(*call.arrays, *others)
        if fused is NotImplemented:
            return fused
        return call.recorded_fused(conv_relu_pool.op, (*call.tensors, *others), fused)

    def of(self, x: Any) -> Any:
        ones = (1,) * len(self.tile)
        return max_windows(x, self.tile, self.tile, ((0, 0),) * len(self.tile), ones)


def _waiting(step: _Step) -> Any:
    return _hold(object.__new__(Waiting), step)


def convolved(x: Any, w: Any, b: Any, stride: Any, padding: Any, dilation: Any, groups: int) -> Any:
    """What `convolution` gives; it waits where there are few channels, and strides of one."""
    args = x, w, b, stride, padding, dilation, groups
    if not _may_wait(x.array, w.array, stride, dilation, groups):
        return convolution(*args)
    shape = _sizes(x.array.shape, w.array.shape, stride, padding, dilation)
    if shape is None:
        return convolution(*args)
    return _waiting(_Convolution(_Call(args), shape))


@functools.lru_cache(maxsize=256)
def _sizes(x: Any, w: Any, stride: Any, padding: Any, dilation: Any) -> tuple[int, ...] | None:
    """The sizes of a convolution's result; None where there is none."""
    if min(map(min, padding)) < 0:
        return None
    return (x[0], w[0], *Window(x[2:], w[2:], stride, padding, dilation).out)


@functools.lru_cache(maxsize=256)
def _pooled(
    size: Any, kernel: Any, stride: Any, padding: Any, dilation: Any
) -> tuple[int, ...] | None:
    """The size of what is pooled by tiles; None where those leave something over, or are none."""
    tiled = all(n % k == 0 for n, k in zip(size, kernel, strict=True))
    if not tiled or kernel != stride or any(padding) or any(d != 1 for d in dilation):
        return None
    return tuple(n // k for n, k in zip(size, kernel, strict=True))


def _may_wait(x: Any, w: Any, stride: Any, dilation: Any, groups: int) -> bool:
    ones = (1,) * len(stride)
    return (
        type(x) is ndarray
        and type(w) is ndarray
        and w.shape[1] <= _CHANNELS
        and x.dtype.char in "fd"
        and x.size > 0
        and w.size > 0
        and groups == 1
        and stride == dilation == ones
        and mode.fast is not None
        and mode.accelerated
        and ndarray in conv_relu_pool.op.fast
    )
