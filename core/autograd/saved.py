"""What happens to tensors that are saved for backward: hooks that pack and unpack them."""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

from core.autograd.mode import mode, no_grad
from core.autograd.op import Plan, face_of
from core.autograd.product import filled, several
from core.autograd.value import Node, Value, extra_of, sequence, wrap


class saved_tensors_hooks:  # noqa: N801 - PyTorch's name
    """A context: ops keep `pack_hook(x)` of what they save, and backward reads `unpack_hook` of it.

    The innermost context counts. Outputs are packed without their history, so that a hook may
    keep them. Ops run as they are defined, not accelerated, as accelerations keep arrays.

    Raises: RuntimeError on entry where `disable_saved_tensors_hooks` says no.
    """

    def __init__(self, pack_hook: Callable[[Any], Any], unpack_hook: Callable[[Any], Any]) -> None:
        self.pack_hook, self.unpack_hook = pack_hook, unpack_hook
        self.outside: list[Any] = []
        self.latest = 0

    def __enter__(self) -> None:
        if _refusal.why is not None:
            raise RuntimeError(_refusal.why)
        others = tuple(w for w in mode.watchers if not isinstance(w, saved_tensors_hooks))
        self.outside.append((mode.watchers, mode.accelerated))
        mode.watch((*others, self))
        mode.accelerated = False

    def __exit__(self, *_: Any) -> None:
        watchers, mode.accelerated = self.outside.pop()
        mode.watch(watchers)

    def __call__(self, op: Any, args: Any) -> Any:
        self.latest = sequence()  # nodes with larger numbers are the op's
        return args

    def after(self, op: Any, result: Any) -> None:
        """Pack what the node that the op made has saved."""
        for out in result if isinstance(result, tuple) else (result,):
            node = out.node if isinstance(out, Value) else None
            if node is not None and node.plan.op is None:
                node = node.edges[0]  # of several outputs
            if node is not None and node.seq > self.latest:
                self.latest = node.seq
                self.pack(node)

    def pack(self, node: Node) -> None:
        """Replace what a new node has saved by what the hook makes of it."""
        watchers = mode.watchers
        mode.watch(())
        try:
            with no_grad():
                if type(node.plan) is Plan:
                    _pack(node, self)
                elif hasattr(node.plan, "context"):
                    node.saved.replace(self.packed)
        finally:
            mode.watch(watchers)

    def packed(self, x: Any, node: Node | None = None) -> Packed:
        """What the hook makes of a tensor; `node` is the one that it is an output of.

        Raises: RuntimeError where the hook writes into it.
        """
        shown = x if node is None else wrap(x.array)
        source = weakref.ref(node) if node is not None else _source(x)
        before = x.version[0] if shown is x and x.version else 0
        held = self.pack_hook(shown)
        if (shown.version[0] if shown.version else 0) != before:
            raise RuntimeError(
                "A saved tensor pack hook is modifying its input in place. Tensors provided as"
                " input to pack hook cannot be modified by in-place operations as this can lead to"
                " unexpected side-effects."
            )
        return Packed(held, self.unpack_hook, source)


def _source(x: Any) -> Any:
    return (x.node or x) if x.needs_grad else None


class Packed:
    """What a hook keeps of one saved tensor, and where gradients of that go."""

    def __init__(self, held: Any, unpack_hook: Any, source: Any) -> None:
        self.held, self.unpack_hook, self.source = held, unpack_hook, source

    def array(self) -> Any:
        """The array of what was unpacked.

        Raises: TypeError unless that is a tensor.
        """
        with no_grad():
            x = self.unpack_hook(self.held)
        if not isinstance(x, Value):
            raise TypeError(
                "Output of saved tensor unpack_hook expected to be a Tensor but got result of type"
                f" {type(x).__name__}"
            )
        return x.array

    def __call__(self) -> Any:
        """What was unpacked, as a tensor that leads where the saved one led."""
        array, source = self.array(), self.source
        if isinstance(source, weakref.ref):
            return wrap(array, source())
        if source is None:
            return wrap(array)
        return wrap(array, Node(_SAME, (), [source], array.shape, array.dtype))


# ---- the nodes of ops -------------------------------------------------------------------------


def _pack(node: Node, hooks: saved_tensors_hooks) -> None:
    """Pack what an op's rules have asked for."""
    plan, saved = node.plan, node.saved
    if not plan.tensors and not plan.keeps_out:
        return
    if not isinstance(plan.label, str):
        extra_of(node).label = plan.name(node)  # it looks at what was saved
    saved = saved.copy()
    for k in plan.tensors:
        saved[k] = hooks.packed(saved[k])
    if plan.keeps_out:
        out = saved[-1]
        each = tuple(hooks.packed(wrap(x)) for x in (out if type(out) is tuple else (out,)))
        saved[-1] = each if type(out) is tuple else each[0]
    node.saved, node.versions, node.plan = saved, None, _PackedPlan(plan)
    if node.extra is not None:
        node.extra.out_version = node.extra.watched = None


class _PackedPlan:
    """The plan of a node whose saved tensors are packed; who writes to them later, no one sees."""

    keeps_out = fresh = shortcut = False

    def __init__(self, plan: Plan) -> None:
        self.plan = plan

    def __getattr__(self, name: str) -> Any:
        return getattr(self.plan, name)

    def products(self, node: Node, g: Any, create_graph: bool) -> list[Any]:
        """The gradients by the plan's rules, of what is unpacked."""
        plan = self.plan
        if type(node.shape) is list:
            g = filled(node, g, create_graph)
        saved = node.saved.copy()
        for k in plan.tensors:
            saved[k] = saved[k]() if create_graph else saved[k].array()
        if plan.keeps_out:
            saved[-1] = _unpacked(node, saved[-1], create_graph)
        saved += plan.constants
        return [rule(g, *[saved[k] for k in slots]) for rule, slots in plan.steps]


def _unpacked(node: Node, out: Any, create_graph: bool) -> Any:
    """The result that was packed, or the results: arrays, or tensors that lead back to the node."""
    if type(out) is tuple:
        arrays = tuple(x.array() for x in out)
        return several(node, arrays) if create_graph else arrays
    array = out.array()
    return wrap(array, node) if create_graph else array


class _Same:
    """The plan of a node that hands its gradient on: an unpacked tensor to the saved one."""

    op: Any = saved_tensors_hooks
    keeps_out = fresh = shortcut = False

    def name(self, node: Node) -> str:
        """The name of what the tensor was before it was saved."""
        return face_of(node.edges[0])[0].name()

    def next_functions(self, node: Node) -> tuple[tuple[Any, int], ...]:
        """The one place that gradients go to."""
        return (face_of(node.edges[0]),)

    def release(self, node: Node) -> None:
        """Nothing was kept."""

    def products(self, node: Node, g: Any, create_graph: bool) -> list[Any]:
        """The gradient itself."""
        return [g]


_SAME = _Same()


# ---- ready-made -------------------------------------------------------------------------------


class save_on_cpu(saved_tensors_hooks):  # noqa: N801 - PyTorch's name
    """A context in which what is saved for backward waits in the CPU's memory."""

    def __init__(self, pin_memory: bool = False, device_type: str = "cuda") -> None:
        def pack(x: Any) -> tuple[Any, Any]:
            held = x.cpu()
            return x.device, held.pin_memory() if pin_memory and x.device.type != "cpu" else held

        def unpack(packed: tuple[Any, Any]) -> Any:
            device, x = packed
            return x.to(device, non_blocking=pin_memory)

        super().__init__(pack, unpack)


class _Refusal(threading.local):
    why: str | None = None


_refusal = _Refusal()


@contextlib.contextmanager
def disable_saved_tensors_hooks(error_message: str) -> Iterator[None]:
    """A context in which `saved_tensors_hooks` raises, saying this.

    Raises: RuntimeError where such hooks are active already.
    """
    if any(isinstance(w, saved_tensors_hooks) for w in mode.watchers):
        raise RuntimeError(error_message)
    before, _refusal.why = _refusal.why, error_message
    try:
        yield
    finally:
        _refusal.why = before
