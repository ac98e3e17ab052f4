"""What to prune, and for how much: the methods and functions of `torch.nn.utils.prune`."""

from __future__ import annotations

import numbers
from collections.abc import Iterable
from typing import Any

from core.nn.module import Module
from core.nn.pruning import BasePruningMethod, PruningContainer, pruned_by
from core.ops.creation import ones_like, zeros_like
from core.ops.join import cat
from core.ops.sampling import rand, rand_like
from core.ops.vector_norm import norm

# ---- how much ---------------------------------------------------------------------------------


def _checked(amount: Any) -> Any:
    """The amount.

    Raises: TypeError, ValueError for what is no count and no share.
    """
    real = isinstance(amount, numbers.Real)
    if not real:
        raise TypeError(f"Invalid type for amount: {amount}. Must be int or float.")
    whole = isinstance(amount, numbers.Integral)
    if amount < 0 or (not whole and amount > 1.0):
        raise ValueError(
            f"amount={amount} should either be a float in the range [0.0, 1.0] or a non-negative"
            " integer"
        )
    return amount


def _count(amount: Any, size: int) -> int:
    """How many of so many are pruned.

    Raises: ValueError for more than there are.
    """
    whole = isinstance(amount, numbers.Integral)
    if whole and amount > size:
        raise ValueError(
            f"amount={amount} should be smaller than the number of parameters to prune={size}"
        )
    return int(amount) if whole else round(amount * size)


def _check_dims(t: Any) -> None:
    if len(t.shape) <= 1:
        raise ValueError(
            "Structured pruning can only be applied to multidimensional tensors. Found tensor of"
            f" shape {t.shape} with {len(t.shape)} dims"
        )


# ---- methods ----------------------------------------------------------------------------------


class Identity(BasePruningMethod):
    """Nothing is pruned: a mask of ones."""

    PRUNING_TYPE = "unstructured"

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        """The mask so far."""
        return default_mask


class _Elements(BasePruningMethod):
    """So many elements are pruned, those whose rank is smallest."""

    PRUNING_TYPE = "unstructured"

    def __init__(self, amount: Any) -> None:
        self.amount = _checked(amount)

    def rank(self, t: Any) -> Any:
        """What the elements are ranked by."""
        raise NotImplementedError

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        """The mask so far without those elements."""
        count = _count(self.amount, t.numel())
        mask = default_mask.clone()
        if count:
            places = self.rank(t.detach()).reshape(-1).topk(count, largest=False).indices
            mask.view(-1)[places] = 0
        return mask


class RandomUnstructured(_Elements):
    """Random elements are pruned: a count, or a share of all."""

    def rank(self, t: Any) -> Any:
        """Random numbers."""
        return rand_like(t)


class L1Unstructured(_Elements):
    """The elements nearest to zero are pruned: a count, or a share of all."""

    def rank(self, t: Any) -> Any:
        """Their sizes."""
        return t.abs()


class _Channels(BasePruningMethod):
    """So many channels along a dim are pruned, those whose rank is smallest."""

    PRUNING_TYPE = "structured"

    def __init__(self, amount: Any, dim: int = -1) -> None:
        self.amount, self.dim = _checked(amount), dim

    def rank(self, t: Any) -> Any:
        """What the channels are ranked by."""
        raise NotImplementedError

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        """The mask so far without those channels."""
        _check_dims(t)
        size = t.shape[self.dim]
        count = _count(self.amount, size)
        if not count:
            return default_mask
        kept = self.rank(t.detach()).topk(size - count).indices
        mask, place = zeros_like(t), [slice(None)] * len(t.shape)
        place[self.dim] = kept
        mask[tuple(place)] = 1
        return mask * default_mask.to(mask.dtype)


class RandomStructured(_Channels):
    """Random channels along a dim are pruned: a count, or a share of all."""

    def rank(self, t: Any) -> Any:
        """Random numbers."""
        return rand(t.shape[self.dim], device=t.device)


class LnStructured(_Channels):
    """The channels along a dim with the smallest n-norm are pruned: a count, or a share of all."""

    def __init__(self, amount: Any, n: Any, dim: int = -1) -> None:
        super().__init__(amount, dim)
        self.n = n

    def rank(self, t: Any) -> Any:
        """Their norms."""
        own = self.dim % len(t.shape)
        return norm(t, self.n, [d for d in range(len(t.shape)) if d != own])


class CustomFromMask(BasePruningMethod):
    """What a given mask says is pruned."""

    PRUNING_TYPE = "global"

    def __init__(self, mask: Any) -> None:
        self.mask = mask

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        """The product of both masks."""
        return default_mask * self.mask.to(default_mask.dtype)


# ---- functions --------------------------------------------------------------------------------


def identity(module: Module, name: str) -> Module:
    """The module, whose parameter bears a mask of ones."""
    Identity.apply(module, name)
    return module


def random_unstructured(module: Module, name: str, amount: Any) -> Module:
    """The module without random elements of a parameter."""
    RandomUnstructured.apply(module, name, amount)
    return module


def l1_unstructured(
    module: Module, name: str, amount: Any, importance_scores: Any = None
) -> Module:
    """The module without the elements of a parameter, or of its scores, nearest to zero."""
    L1Unstructured.apply(module, name, amount, importance_scores=importance_scores)
    return module


def random_structured(module: Module, name: str, amount: Any, dim: int) -> Module:
    """The module without random channels of a parameter."""
    RandomStructured.apply(module, name, amount, dim)
    return module


def ln_structured(
    module: Module, name: str, amount: Any, n: Any, dim: int, importance_scores: Any = None
) -> Module:
    """The module without the channels of a parameter, or of its scores, of the smallest n-norm."""
    LnStructured.apply(module, name, amount, n, dim, importance_scores=importance_scores)
    return module


def custom_from_mask(module: Module, name: str, mask: Any) -> Module:
    """The module with that mask on a parameter."""
    CustomFromMask.apply(module, name, mask)
    return module


def global_unstructured(
    parameters: Iterable[tuple[Module, str]],
    pruning_method: type[BasePruningMethod],
    importance_scores: dict[tuple[Module, str], Any] | None = None,
    **kwargs: Any,
) -> None:
    """Prune all parameters, pairs of a module and a name, as if they were one.

    Raises: TypeError where `parameters` is no iterable, or the method looks at channels.
    """
    if not isinstance(parameters, Iterable):
        raise TypeError("global_unstructured(): parameters is not an Iterable")
    given = importance_scores or {}
    if not isinstance(given, dict):
        raise TypeError("global_unstructured(): importance_scores should be of type dict")
    pairs = list(parameters)
    tensors = [getattr(*pair) for pair in pairs]
    scores = cat([given.get(pair, t).reshape(-1) for pair, t in zip(pairs, tensors)])
    masks = [getattr(m, name + "_mask", ones_like(t)) for (m, name), t in zip(pairs, tensors)]
    container = PruningContainer()
    method = pruning_method(**kwargs)
    container._tensor_name = method._tensor_name = "all"
    if method.PRUNING_TYPE != "unstructured":
        raise TypeError(
            'Only "unstructured" PRUNING_TYPE is supported for the `pruning_method`. Found'
            f" {pruning_method} of type {method.PRUNING_TYPE}"
        )
    container.add_pruning_method(method)
    whole = container.compute_mask(scores, cat([mask.reshape(-1) for mask in masks]))
    parts = whole.split([t.numel() for t in tensors])
    for (module, name), t, part in zip(pairs, tensors, parts):
        custom_from_mask(module, name, part.reshape(t.shape))


def remove(module: Module, name: str) -> Module:
    """The module, whose parameter is for good what pruning left of it.

    Raises: ValueError where it is not pruned.
    """
    found = pruned_by(module, name)
    if found is None:
        raise ValueError(
            f"Parameter '{name}' of module {module} has to be pruned before pruning can be removed"
        )
    key, method = found
    method.remove(module)
    module._own_hooks().pre.pop(key)
    return module


def is_pruned(module: Module) -> bool:
    """Whether anything in a module is pruned."""
    return any(pruned_by(part) for part in module.modules())
