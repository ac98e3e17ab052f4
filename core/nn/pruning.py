"""Pruning: weights held at zero by masks, which the forward applies to what is trained.

A pruned parameter `weight` is trained as `weight_orig`; the buffer `weight_mask` says what is left
of it, and a hook before each forward sets `weight` to their product.
"""

from __future__ import annotations

import abc
from collections.abc import Iterator
from typing import Any

from core.nn.module import Module
from core.ops.creation import ones_like


class BasePruningMethod(abc.ABC):
    """A way to choose what is pruned: subclasses define `compute_mask` and PRUNING_TYPE.

    PRUNING_TYPE tells what a second pruning is given: "unstructured" the elements that are left,
    "structured" the channels that are left, "global" everything.
    """

    _tensor_name: str
    PRUNING_TYPE: str

    def __call__(self, module: Module, inputs: Any) -> None:
        setattr(module, self._tensor_name, self.apply_mask(module))

    @abc.abstractmethod
    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        """The mask of `t`: zero where `default_mask` is, and where this method prunes."""

    def apply_mask(self, module: Module) -> Any:
        """What is left of the module's parameter."""
        orig = getattr(module, self._tensor_name + "_orig")
        return getattr(module, self._tensor_name + "_mask").to(orig.dtype) * orig

    @classmethod
    def apply(
        cls, module: Module, name: str, *args: Any, importance_scores: Any = None, **kwargs: Any
    ) -> Any:
        """The method, or the container of all methods, that now prunes `name` of the module."""
        earlier = pruned_by(module, name)
        method = cls(*args, **kwargs)
        method._tensor_name = name
        tensor = getattr(module, name)
        scores = _scores(importance_scores, tensor)
        if earlier is None:
            mask = method.compute_mask(scores, ones_like(tensor))
            del module._parameters[name]
            module.register_parameter(name + "_orig", tensor)
            module.register_buffer(name + "_mask", mask)
        else:
            key, before = earlier
            many = isinstance(before, PruningContainer)
            container = before if many else PruningContainer(before)
            container.add_pruning_method(method)
            default = getattr(module, name + "_mask").detach().clone()
            setattr(module, name + "_mask", container.compute_mask(scores, default))
            module._own_hooks().pre.pop(key)
            method = container
        setattr(module, name, method.apply_mask(module))
        module.register_forward_pre_hook(method)
        return method

    def prune(self, t: Any, default_mask: Any = None, importance_scores: Any = None) -> Any:
        """What this method leaves of a tensor."""
        default = ones_like(t) if default_mask is None else default_mask
        return t * self.compute_mask(_scores(importance_scores, t), default)

    def remove(self, module: Module) -> None:
        """Make what is left of the parameter the parameter again."""
        name = self._tensor_name
        left = self.apply_mask(module).detach()
        orig = module._parameters[name + "_orig"]
        orig.data = left
        for end in ("", "_orig", "_mask"):
            delattr(module, name + end)
        setattr(module, name, orig)


def pruned_by(module: Module, name: str | None = None) -> tuple[int, Any] | None:
    """The hook that prunes a parameter, or any, and its key."""
    entries = module._hooks.pre if module._hooks else {}
    for key, (hook, _) in entries.items():
        if isinstance(hook, BasePruningMethod) and name in (None, hook._tensor_name):
            return key, hook
    return None


def _scores(given: Any, tensor: Any) -> Any:
    if given is None:
        return tensor
    if given.shape != tensor.shape:
        raise AssertionError(
            "importance_scores should have the same shape as the parameter, got"
            f" {given.shape} vs {tensor.shape}"
        )
    return given


class PruningContainer(BasePruningMethod):
    """Several prunings of one parameter, one after the other."""

    PRUNING_TYPE = "container"

    def __init__(self, *args: BasePruningMethod) -> None:
        self._pruning_methods: tuple[BasePruningMethod, ...] = ()
        if len(args) == 1:
            self._tensor_name = args[0]._tensor_name
        for method in args:
            self.add_pruning_method(method)

    def add_pruning_method(self, method: BasePruningMethod) -> None:
        """Add a method of the same parameter.

        Raises: TypeError, ValueError for another.
        """
        if not isinstance(method, BasePruningMethod):
            raise TypeError(f"{type(method)} is not a BasePruningMethod subclass")
        if self._tensor_name != method._tensor_name:
            raise ValueError(
                "Can only add pruning methods acting on the parameter named"
                f" '{self._tensor_name}' to PruningContainer {self}. Found"
                f" '{method._tensor_name}'"
            )
        self._pruning_methods += (method,)

    def __len__(self) -> int:
        return len(self._pruning_methods)

    def __iter__(self) -> Iterator[BasePruningMethod]:
        return iter(self._pruning_methods)

    def __getitem__(self, idx: int) -> BasePruningMethod:
        return self._pruning_methods[idx]

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        """The mask so far, and what the last method prunes of what is left."""
        method = self._pruning_methods[-1]
        mask = default_mask.to(t.dtype).clone()
        part = _left(method, t, default_mask)
        mask[part] = method.compute_mask(t[part], default_mask=default_mask[part]).to(t.dtype)
        return mask


def _left(method: BasePruningMethod, t: Any, mask: Any) -> Any:
    """Where the next pruning looks.

    Raises: ValueError for an unknown type, AttributeError, IndexError for a missing or wrong dim.
    """
    kind, ndim = method.PRUNING_TYPE, len(t.shape)
    if kind == "unstructured":
        return mask == 1
    if kind == "global":
        return (slice(None),) * ndim
    if kind != "structured":
        raise ValueError(f"Unrecognized PRUNING_TYPE {kind}")
    if not hasattr(method, "dim"):
        raise AttributeError('Pruning methods that are "structured" need the attribute `dim`')
    dim = method.dim + (ndim if method.dim < 0 else 0)
    if dim < 0:
        raise IndexError(f"Index is out of bounds for tensor with dimensions {ndim}")
    kept = mask.sum([d for d in range(ndim) if d != dim]) != 0
    return tuple(kept if d == dim else slice(None) for d in range(ndim))
