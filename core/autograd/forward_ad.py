"""Tangents beside tensors: `make_dual`, and what `unpack_dual` finds of them in a result.

There is no forward mode: the products with tangents are those of a backward pass, differentiated
once more. So inside a level what comes of a dual tensor requires grad, and is to be recorded.
"""

from __future__ import annotations

import threading
from typing import Any, NamedTuple

from core.autograd.gradients import grad
from core.autograd.mode import enable_grad, mode
from core.autograd.value import Node, Value

__all__ = [
    "UnpackedDualTensor", "dual_level", "enter_dual_level", "exit_dual_level", "make_dual",
    "unpack_dual",
]  # fmt: skip


class UnpackedDualTensor(NamedTuple):
    """A tensor without its tangent, and the tangent; None where there is none."""

    primal: Any
    tangent: Any


class _Level(threading.local):
    """The dual tensors of the level that this thread is in, with their tangents; None outside."""

    duals: list[tuple[Any, Any]] | None = None


_level = _Level()


def enter_dual_level() -> int:
    """The number of the level that was entered: zero, as there is only one.

    Raises: RuntimeError inside a level.
    """
    if _level.duals is not None:
        raise RuntimeError("Nested forward mode AD is not supported at the moment")
    _level.duals = []
    return 0


def exit_dual_level(*, level: int | None = None) -> None:
    """Nothing; the level is left, and its tensors have no tangents any more.

    Raises: RuntimeError outside of a level.
    """
    if _level.duals is None or level not in (None, 0):
        raise RuntimeError("Trying to exit a forward AD level that was not the last one entered")
    _level.duals = None


class dual_level:  # noqa: N801 - PyTorch's name
    """A context in which tensors can have tangents.

    Example:
        >>> import core
        >>> with dual_level():
        ...     x = make_dual(core.tensor(3.0), core.tensor(1.0))
        ...     unpack_dual(x * x).tangent
        tensor(6.)
    """

    def __enter__(self) -> int:
        return enter_dual_level()

    def __exit__(self, *_: Any) -> None:
        exit_dual_level()


def make_dual(tensor: Any, tangent: Any, *, level: int | None = None) -> Any:
    """A view of `tensor` that has a tangent, as what is made of it will have.

    Raises: RuntimeError outside of a level or where nothing is recorded, and for shapes that
        differ; ValueError unless both are of a floating type.
    """
    if _level.duals is None:
        raise RuntimeError(
            "Trying to create a dual Tensor for forward AD but no level exists, make sure to"
            " enter_dual_level() first."
        )
    if not mode.recording:
        raise RuntimeError("make_dual: tangents are found by backward, so grad mode must be on")
    for name, x in (("primal", tensor), ("tangent", tangent)):
        if not x.dtype.is_floating_point:
            raise ValueError(f"Expected {name} to be floating point or complex, but got: {x.dtype}")
    if tensor.array.shape != tangent.array.shape:
        raise RuntimeError(
            f"Expected primal and tangent of one shape, but got {list(tensor.array.shape)} and"
            f" {list(tangent.array.shape)}"
        )
    dual = tensor.view_as(tensor) if tensor.requires_grad else tensor.detach().requires_grad_()
    _level.duals.append((dual, tangent))
    return dual


def unpack_dual(tensor: Any, *, level: int | None = None) -> UnpackedDualTensor:
    """A tensor and its tangent: the product of its Jacobian with the tangents that it comes from.

    Both can be differentiated by what else requires grad.
    """
    duals = _level.duals or []
    if not duals or not tensor.requires_grad:
        return UnpackedDualTensor(tensor, None)
    with enable_grad():
        inputs = [dual for dual, _ in duals]
        weight = tensor.new_zeros(tensor.shape, requires_grad=True)
        found = grad(tensor, inputs, weight, create_graph=True, allow_unused=True)
        pairs = [(g, t) for g, (_, t) in zip(found, duals) if g is not None]
        if not pairs:
            return UnpackedDualTensor(tensor, None)
        backs, tangents = zip(*pairs)
        tracked = _others(tensor, inputs) or any(t.requires_grad for t in tangents)
        (tangent,) = grad(backs, weight, tangents, create_graph=tracked)
    return UnpackedDualTensor(tensor if tracked else tensor.detach(), tangent)


def _others(x: Any, inputs: list[Any]) -> bool:
    """Whether a tensor comes of anything that requires grad, but those that were made dual."""
    made = {id(dual) for dual in inputs if dual.node is None}
    stack: list[Any] = [x.node or x]
    seen: dict[Any, None] = {}
    while stack:
        source = stack.pop()
        if isinstance(source, Value):
            if id(source) not in made:
                return True
        elif type(source) is Node and source not in seen:
            seen[source] = None
            stack.extend(source.edges)
    return False
