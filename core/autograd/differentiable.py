"""What a tensor knows of the graph: its gradient, its hooks, and where it stands."""

from __future__ import annotations

import warnings
import weakref
from typing import Any

from core.autograd import gradients, sweep
from core.autograd.accumulate import WhenFinal, drop
from core.autograd.value import (
    Before,
    Inference,
    RemovableHandle,
    Value,
    add_hook,
    leaf_of,
    root_of,
    share,
    version_of,
    wrap,
)
from core.backend import device_of
from core.dtype import of


class Differentiable(Value):
    """A value with a gradient: the part of Tensor that deals with the graph."""

    __slots__ = ()

    @property
    def requires_grad(self) -> bool:
        """Whether gradients are computed for this tensor."""
        return sweep.source_of(self) is not self or self.needs_grad

    @requires_grad.setter
    def requires_grad(self, on: bool) -> None:
        self.requires_grad_(on)

    def requires_grad_(self, requires_grad: bool = True) -> Any:
        """Start or stop recording ops on this leaf; the tensor itself.

        Raises: RuntimeError for a tensor that is no leaf, or of integers; TypeError for no bool.
        """
        if not isinstance(requires_grad, bool):
            kind = type(requires_grad).__name__
            raise TypeError(
                "requires_grad_(): argument 'requires_grad' (position 1) must be bool, not " + kind
            )
        if not self.is_leaf:
            if not requires_grad:
                raise RuntimeError(
                    "you can only change requires_grad flags of leaf variables. If you want to use"
                    " a computed variable in a subgraph that doesn't require differentiation use"
                    " var_no_grad = var.detach()."
                )
            return self
        if requires_grad and not of(self.array.dtype).is_floating_point:
            raise RuntimeError(
                "only Tensors of floating point dtype can require gradients, not"
                f" {of(self.array.dtype)}"
            )
        if requires_grad and self.is_inference():
            Inference.allow("Setting requires_grad=True on inference tensor")
        self.needs_grad = bool(requires_grad)
        return self

    @property
    def is_leaf(self) -> bool:
        """Whether no recorded op made this tensor."""
        return sweep.source_of(self) is self

    def is_inference(self) -> bool:
        """Whether this tensor was made inside `inference_mode`."""
        return type(self.version) is Inference

    @property
    def grad_fn(self) -> Any:
        """The node of the op that made this tensor; None for a leaf."""
        source = sweep.source_of(self)
        if source is self:
            return None
        return source.edges[0] if source.plan.op is None else source

    @property
    def grad(self) -> Any:
        """The gradient gathered so far; None before the first."""
        found = None if self.leaf is None else self.leaf.gradient
        if found is None and self.node is not None and not self.retains_grad:
            warnings.warn(
                "The .grad attribute of a Tensor that is not a leaf Tensor is being accessed. Its"
                " .grad attribute won't be populated during autograd.backward(). Use"
                " .retain_grad() on the non-leaf Tensor to keep it.",
                stacklevel=2,
            )
        return found

    @grad.setter
    def grad(self, g: Any) -> None:
        if g is not None:
            _check_grad(self, g)
        slot = leaf_of(self)
        if g is slot.gradient:
            return
        waits = slot.local
        drop(slot)
        slot.gradient, slot.local = g, waits and g is not None  # of None nothing can be reduced
        slot.given = None if g is None else weakref.ref(g)

    @grad.deleter
    def grad(self) -> None:
        self.grad = None

    @property
    def data(self) -> Any:
        """A tensor of the same memory that the graph does not know and no version counts."""
        return wrap(self.array)

    @data.setter
    def data(self, other: Any) -> None:
        if type(other.array) is not type(self.array) and self.leaf is not None:
            self.leaf.gradient = None
        self.array = other.array

    @property
    def output_nr(self) -> int:
        """Which output of its op this is."""
        source = sweep.source_of(self)
        return source.saved if source is not self and source.plan.op is None else 0

    @property
    def _version(self) -> int:
        if self.is_inference():
            raise RuntimeError("Inference tensors do not track version counter.")
        return version_of(self)[0]

    @property
    def _base(self) -> Any:
        root = None if self.base is None else root_of(self.base)
        return None if type(root) is Before else root

    def _is_view(self) -> bool:
        return self._base is not None

    def detach(self) -> Any:
        """A tensor of the same memory that the graph does not know."""
        out = wrap(self.array)
        share(out, self)
        return out

    def detach_(self) -> Any:
        """This tensor, cut from the graph.

        Raises: RuntimeError for a view.
        """
        if self._base is not None:
            raise RuntimeError("Can't detach views in-place. Use detach() instead.")
        self.node, self.needs_grad = None, False
        return self

    def backward(
        self,
        gradient: Any = None,
        retain_graph: bool | None = None,
        create_graph: bool = False,
        inputs: Any = None,
    ) -> None:
        """Add d self / d leaf to `.grad` of every leaf this tensor depends on (or of `inputs`).

        Raises: RuntimeError without a gradient unless this is one number.
        """
        gradients.backward(self, gradient, retain_graph, create_graph, inputs=inputs)

    # ---- hooks ----

    def register_hook(self, hook: Any) -> RemovableHandle:
        """A handle of `hook(g)`, run on this tensor's gradient; it may return another one.

        Raises: RuntimeError if the tensor does not require grad.
        """
        if not self.requires_grad:
            raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
        if self.node is None:
            return RemovableHandle(leaf_of(self).before, hook)
        handle = add_hook(self.node, hook)
        keepers_last(self.node)
        return handle

    def register_post_accumulate_grad_hook(self, hook: Any) -> RemovableHandle:
        """A handle of `hook(self)`, run after this leaf's `.grad` has grown, and was reduced.

        Raises: RuntimeError if this is no leaf, or does not require grad.
        """
        if not self.requires_grad:
            raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
        if self.node is not None:
            raise RuntimeError(
                "post accumulate grad hooks cannot be registered on non-leaf tensors"
            )
        return RemovableHandle(leaf_of(self).after, WhenFinal(hook))

    def retain_grad(self) -> None:
        """Keep this non-leaf's gradient in `.grad` during backward.

        Raises: RuntimeError if it does not require grad.
        """
        if not self.requires_grad:
            raise RuntimeError("can't retain_grad on Tensor that has requires_grad=False")
        if self.node is not None and not self.retains_grad:
            add_hook(self.node, _Keeper(self))

    @property
    def retains_grad(self) -> bool:
        """Whether a non-leaf keeps its gradient."""
        extra = None if self.node is None else self.node.extra
        hooks: dict[int, Any] = (extra and extra.hooks) or {}
        return any(type(hook) is _Keeper and hook.x() is self for hook in hooks.values())


class _Keeper:
    """A hook that keeps a non-leaf's gradient, without keeping the tensor."""

    follows = True  # a write in place makes a new node: the tensor's gradient is then that node's

    def __init__(self, x: Any) -> None:
        self.x = weakref.ref(x)

    def __call__(self, g: Any) -> None:
        x = self.x()
        if x is not None:
            slot = leaf_of(x)
            slot.gradient = g.clone() if slot.gradient is None else slot.gradient + g


def keepers_last(node: Any) -> None:
    """Let a node's retained gradients be what all its other hooks have left."""
    hooks = node.extra.hooks
    for key in [key for key, hook in hooks.items() if type(hook) is _Keeper]:
        hooks[key] = hooks.pop(key)


def _check_grad(x: Any, g: Any) -> None:
    if not isinstance(g, Value):
        kind = type(g).__name__
        raise TypeError(
            f"assigned grad expected to be a Tensor or None but got grad of type {kind!r}"
        )
    if g is x:
        raise RuntimeError("can't assign Variable as its own grad")
    have, want = list(g.array.shape), list(x.array.shape)
    if have != want:
        raise RuntimeError(
            f"assigned grad has data of a different size: expected {want}, got {have}"
        )
    if g.array.dtype != x.array.dtype:
        raise RuntimeError(
            f"assigned grad has data of a different type: expected {of(x.array.dtype)}, got"
            f" {of(g.array.dtype)}"
        )
    if device_of(g.array) != device_of(x.array):
        raise RuntimeError(
            f"assigned grad has data located on a different device: expected"
            f" {device_of(x.array)}, got {device_of(g.array)}"
        )
