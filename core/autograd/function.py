"""Ops of one's own: a forward and a backward in one class."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable
from typing import Any

from core.autograd.inplace import forbid_leaf, write_recorded
from core.autograd.mode import mode, no_grad
from core.autograd.op import face_of
from core.autograd.product import modified
from core.autograd.record import PICK
from core.autograd.value import Node, Value, share, version_of, wrap
from core.backend import device_of, on, xp


class FunctionCtx:
    """What a function's forward leaves for its backward; attributes can be set at will."""

    needs_input_grad: tuple[bool, ...] = ()
    tensors: tuple[bool, ...] = ()  # which arguments are tensors

    def __init__(self) -> None:
        self.materialize_grads = True
        self.dirty: tuple[Any, ...] = ()
        self.non_differentiable: tuple[Any, ...] = ()
        self.to_save: tuple[Any, ...] = ()
        self._kept: list[Any] | None = []

    def save_for_backward(self, *tensors: Any) -> None:
        """Keep tensors (inputs, outputs or others; None too) for backward.

        Raises: TypeError for anything else.
        """
        for x in tensors:
            if x is not None and not isinstance(x, Value):
                raise TypeError(
                    "save_for_backward can only save variables, but an argument is of type"
                    f" {type(x).__name__}"
                )
        self.to_save = tensors

    def save_for_forward(self, *tensors: Any) -> None:
        """Accepted for programs that have it; forward-mode derivatives are left out."""

    def mark_dirty(self, *tensors: Any) -> None:
        """Say which inputs were written in place; each must be among the outputs."""
        self.dirty = tensors

    def mark_non_differentiable(self, *tensors: Any) -> None:
        """Say which outputs have no gradient."""
        self.non_differentiable = tensors

    def set_materialize_grads(self, value: bool) -> None:
        """Say whether backward gets zeros (True) or None where no gradient flowed in."""
        self.materialize_grads = value

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        """What `save_for_backward` kept.

        Raises: RuntimeError once it was freed, or where a tensor was changed in place since.
        """
        if self._kept is None:
            raise RuntimeError(
                "Trying to backward through the graph a second time (or directly access saved"
                " tensors after they have already been freed). Saved intermediate values of the"
                " graph are freed when you call .backward() or autograd.grad(). Specify"
                " retain_graph=True if you need to backward through the graph a second time or if"
                " you need to access saved tensors after calling backward."
            )
        return tuple(None if kept is None else kept() for kept in self._kept)

    def keep(self, outs: dict[int, Any]) -> None:
        """Hold what was saved; of outputs only the memory, so that no reference cycle arises."""
        self._kept = [None if x is None else _Kept(x, outs.get(id(x))) for x in self.to_save]
        self.to_save = self.dirty = self.non_differentiable = ()

    def replace(self, packed: Callable[[Any, Any], Any]) -> None:
        """Keep `packed(x, node)` of what was saved; `node` is that of an output."""
        kept = [None if k is None else (k(), k.node and k.node()) for k in self._kept or ()]
        self._kept = [None if k is None else packed(*k) for k in kept]

    def free(self) -> None:
        """Let go of what was saved."""
        if self._kept:
            self._kept = None


class _Kept:
    """A saved tensor; of an output only the memory, and (weakly) the node that made it."""

    def __init__(self, x: Any, is_output: Any) -> None:
        self.counter = version_of(x)
        self.count = self.counter[0]
        self.array = x.array
        self.value = None if is_output else x
        self.node = weakref.ref(x.node) if is_output and x.node is not None else None

    def __call__(self) -> Any:
        node = None if self.node is None else self.node()
        if self.counter[0] != self.count:
            raise modified(self.array, node, self.counter[0], self.count)
        if self.value is not None:
            return self.value
        out = wrap(self.array, node)
        out.version = self.counter
        return out


class Function:
    """A differentiable op of one's own: `forward(ctx, ...)` and `backward(ctx, *grads)`.

    With `setup_context(ctx, inputs, output)`, forward takes no ctx. Called by `apply`.

    Example:
        >>> import core
        >>> class Double(Function):
        ...     forward = staticmethod(lambda ctx, x: x * 2)
        ...     backward = staticmethod(lambda ctx, g: g * 2)
        >>> Double.apply(core.ones(2))
        tensor([2., 2.])
    """

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError(
            "Legacy autograd function with non-static forward method is deprecated. Please use"
            " new-style autograd function with static forward method."
        )

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        """The result for the arguments."""
        raise NotImplementedError(
            "You must implement the forward function for custom autograd.Function."
        )

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> Any:
        """Leave in `ctx` what backward needs."""
        raise NotImplementedError("setup_context is not implemented.")

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        """The gradient of each argument, from that of each output."""
        raise NotImplementedError(
            "You must implement either the backward or vjp method for your custom"
            " autograd.Function to use it with backward mode AD."
        )

    vjp = backward

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """The result of forward on the arguments, recorded."""
        ctx = type(f"{cls.__name__}Backward", (FunctionCtx,), {})()
        ctx.needs_input_grad = tuple(isinstance(a, Value) and a.requires_grad for a in args)  # type: ignore
        ctx.tensors = tuple(isinstance(a, Value) for a in args)
        wanted = mode.recording and any(ctx.needs_input_grad)
        edges = [a.node or a for a, needs in zip(args, ctx.needs_input_grad) if needs]
        with no_grad():
            if cls.setup_context is Function.setup_context:
                result = cls.forward(ctx, *args)
            else:
                result = cls.forward(*args)
                cls.setup_context(ctx, args, result)
        outs = result if isinstance(result, tuple) else (result,)
        outs = _outputs(cls, ctx, args, outs, edges if wanted else None)
        for watcher in mode.watchers:
            if wanted and hasattr(watcher, "after"):
                watcher.after(cls, outs)
        return outs if isinstance(result, tuple) else outs[0]


# ---- recording --------------------------------------------------------------------------------


def _outputs(cls: Any, ctx: Any, args: Any, outs: Any, edges: Any) -> tuple[Any, ...]:
    """The outputs, made to depend on the function's node."""
    _check_dirty(ctx, args, outs)
    for x in ctx.dirty:
        forbid_leaf(x)
    taken = [id(a) for a in args if isinstance(a, Value)]
    dirty = [id(x) for x in ctx.dirty]
    outs = tuple(_alias(o) if id(o) in taken and id(o) not in dirty else o for o in outs)
    if edges is None:
        ctx.keep({})
        return outs
    fixed = [id(x) for x in ctx.non_differentiable]
    differs = [
        isinstance(o, Value) and o.array.dtype.kind in "fV" and id(o) not in fixed for o in outs
    ]
    node = _node(cls, ctx, outs, edges)
    for i, out in enumerate(outs):
        if differs[i]:
            _attach(out, _output_node(node, i, len(outs), out), id(out) in dirty)
    ctx.keep({id(o): True for o in outs if isinstance(o, Value)})
    return outs


def _check_dirty(ctx: Any, args: Any, outs: Any) -> None:
    returned = [id(o) for o in outs]
    if any(id(x) not in returned for x in ctx.dirty):
        raise RuntimeError(
            "Some elements marked as dirty during the forward method were not returned as output."
            " The inputs that are modified inplace must all be outputs of the Function."
        )


def _alias(x: Any) -> Any:
    out = wrap(x.array)
    share(out, x)
    return out


def _node(cls: Any, ctx: Any, outs: Any, edges: Any) -> Node:
    if len(outs) == 1 and isinstance(outs[0], Value):
        return Node(_Plan(cls), ctx, edges, outs[0].array.shape, outs[0].array.dtype)
    tensors = [o if isinstance(o, Value) else None for o in outs]
    shapes = [None if o is None else o.array.shape for o in tensors]
    dtypes = [None if o is None else o.array.dtype for o in tensors]
    return Node(_Plan(cls), ctx, edges, shapes, dtypes)


def _output_node(node: Node, i: int, count: int, out: Any) -> Node:
    return node if count == 1 else Node(PICK, i, [node], out.array.shape, out.array.dtype)


def _attach(out: Any, node: Node, dirty: bool) -> None:
    if dirty:
        write_recorded(out, wrap(out.array, node))
    else:
        out.node, out.needs_grad = node, True


# ---- differentiating --------------------------------------------------------------------------


class _Plan:
    """The plan of a function's node; what the node saved is the function's context."""

    keeps_out = fresh = shortcut = False
    context = True

    def __init__(self, cls: Any) -> None:
        self.op = cls

    def name(self, node: Node) -> str:
        """The name of the class, with Backward."""
        return f"{self.op.__name__}Backward"

    def release(self, node: Node) -> None:
        """Let go of the saved tensors, not of the context's own attributes."""
        node.saved.free()

    def next_functions(self, node: Node) -> tuple[tuple[Any, int], ...]:
        """One entry per tensor among the arguments."""
        edges, ctx = iter(node.edges), node.saved
        asked = [needs for needs, tensor in zip(ctx.needs_input_grad, ctx.tensors) if tensor]
        return tuple(face_of(next(edges) if needs else None) for needs in asked)

    def products(self, node: Node, g: Any, create_graph: bool) -> list[Any]:
        """The gradients that the class's backward returns for the arguments that need one.

        Raises: RuntimeError where their number, their kind or their shape is wrong.
        """
        ctx, cls = node.saved, self.op
        backward = cls.backward if cls.backward is not Function.backward else cls.vjp
        gs = _incoming(node, g, ctx.materialize_grads)
        if not create_graph:
            gs = [x if x is None or isinstance(x, Value) else wrap(x) for x in gs]
        found = backward(ctx, *gs)
        found = found if isinstance(found, (tuple, list)) else (found,)
        picked = _checked(self.name(node), ctx.needs_input_grad, found)
        _check_shapes(self.name(node), picked, node.edges)
        if create_graph:
            return picked
        return [None if x is None else _own(x.array, gs) for x in picked]


def _own(array: Any, gs: Any) -> Any:
    """`array`, or a copy where it is an incoming gradient, which others may hold."""
    return array.copy() if any(g is not None and g.array is array for g in gs) else array


def _incoming(node: Node, g: Any, materialize: bool) -> list[Any]:
    """One gradient per output, zeros or None where nothing flowed in."""
    if type(node.shape) is not list:
        return [g]
    like = next(x for x in g if x is not None)
    module = xp(like.array if isinstance(like, Value) else like)
    out = []
    for x, shape, dtype in zip(g, node.shape, node.dtype, strict=True):
        if x is None and materialize and shape is not None:
            with on(device_of(like.array if isinstance(like, Value) else like)):
                x = wrap(module.zeros(shape, dtype))
        out.append(x)
    return out


def _checked(name: str, needs: tuple[bool, ...], found: Any) -> list[Any]:
    """The gradients of the arguments that need one, if `found` fits the arguments."""
    extra = found[len(needs) :]
    if len(found) < len(needs) or any(x is not None for x in extra):
        raise RuntimeError(
            f"function {name} returned an incorrect number of gradients (expected {len(needs)},"
            f" got {len(found)})"
        )
    for x in found:
        if x is not None and not isinstance(x, Value):
            raise RuntimeError(f"expected Variable or None (got {type(x).__name__})")
    return [x for x, needed in zip(found, needs) if needed]


def _check_shapes(name: str, gs: list[Any], edges: list[Any]) -> None:
    for i, (g, source) in enumerate(zip(gs, edges)):
        want = source.shape if type(source) is Node else source.array.shape
        if g is None or g.array.shape == want:
            continue
        lead = g.array.ndim - len(want)
        if lead < 0 or any(n not in (1, m) for n, m in zip(want, g.array.shape[lead:])):
            raise RuntimeError(
                f"Function {name} returned an invalid gradient at index {i} - got"
                f" {list(g.array.shape)} but expected shape compatible with {list(want)}"
            )


def once_differentiable(backward: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator for a backward that cannot itself be differentiated: doing so raises."""

    @functools.wraps(backward)
    def wrapper(ctx: Any, *args: Any) -> Any:
        with no_grad():
            found = backward(ctx, *args)
        tracked = [a for a in args if isinstance(a, Value) and a.requires_grad]  # type: ignore
        if not mode.recording or not tracked:
            return found
        edges = [a.node or a for a in tracked]
        several = isinstance(found, (tuple, list))
        refused = [_refusing(x, edges) for x in (found if several else (found,))]
        return tuple(refused) if several else refused[0]

    return wrapper


def _refusing(x: Any, edges: list[Any]) -> Any:
    if not isinstance(x, Value):
        return x
    node = Node(_Refusal(), (), edges, x.array.shape, x.array.dtype)
    return wrap(x.array, node)


class _Refusal:
    """The plan of a gradient that has no gradient."""

    op = Function
    keeps_out = fresh = shortcut = False

    def name(self, node: Node) -> str:
        """PyTorch's name of this node."""
        return "Error"

    def next_functions(self, node: Node) -> tuple[tuple[Any, int], ...]:
        """One entry per edge."""
        return tuple(face_of(source) for source in node.edges)

    def release(self, node: Node) -> None:
        """Nothing was kept."""

    def products(self, node: Node, g: Any, create_graph: bool) -> list[Any]:
        """Never: this is where twice is once too often.

        Raises: RuntimeError.
        """
        raise RuntimeError(
            "trying to differentiate twice a function that was marked with @once_differentiable"
        )
