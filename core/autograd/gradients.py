"""Gradients as one asks for them: `backward` adds them to the leaves, `grad` returns them."""

from __future__ import annotations

import functools
import itertools
import operator
from typing import Any

from core.autograd import sweep
from core.autograd.dispatch import primitive
from core.autograd.value import Value, wrap
from core.backend import device_of, on, xp


def backward(
    tensors: Any,
    grad_tensors: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    grad_variables: Any = None,
    inputs: Any = None,
) -> None:
    """Add the gradients of `tensors` to `.grad` of the leaves they depend on, or of `inputs` only.

    Raises: RuntimeError without `grad_tensors` unless each tensor is one number.
    """
    if inputs is not None:
        inputs = _listed(inputs)
        if not inputs:
            raise RuntimeError("`inputs` argument to `backward()` cannot be empty.")
        _check_inputs(inputs)
        inputs = [x for xs in _with_stand_ins(inputs) for x in xs]
    roots = _listed(tensors)
    sweep.backward(
        roots,
        _seeds(roots, grad_variables if grad_tensors is None else grad_tensors),
        retain_graph=create_graph if retain_graph is None else retain_graph,
        create_graph=create_graph,
        inputs=inputs,
    )


def grad(
    outputs: Any,
    inputs: Any,
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> tuple[Any, ...]:
    """The gradients of `outputs` with respect to each of `inputs`, leaving every `.grad` alone.

    With `allow_unused` None stands where there is no path; with `materialize_grads`, zeros. With
    `is_grads_batched` the first dim of `grad_outputs` counts them, and that of the result.

    Raises: RuntimeError where an input was not used, or does not require grad.
    """
    if materialize_grads and allow_unused is False:
        raise ValueError(
            "Expected allow_unused to be True or not passed when materialize_grads=True, but got:"
            " allow_unused=False."
        )
    if is_grads_batched:
        rest = create_graph, only_inputs, allow_unused, False, materialize_grads
        return _batched(outputs, inputs, _listed(grad_outputs), retain_graph, rest)
    roots, inputs = _listed(outputs), _listed(inputs)
    if not inputs:
        raise RuntimeError("`inputs` argument to `grad()` cannot be empty.")
    _check_inputs(inputs)
    found = _found(
        roots,
        inputs,
        _seeds(roots, grad_outputs),
        retain_graph=create_graph if retain_graph is None else retain_graph,
        create_graph=create_graph,
    )
    return tuple(_answer(x, g, allow_unused, materialize_grads) for x, g in zip(inputs, found))


def _with_stand_ins(inputs: list[Any]) -> list[list[Any]]:
    return [[x] if x.leaf is None else [x, *x.leaf.stand_ins] for x in inputs]


def _found(roots: list[Any], inputs: list[Any], seeds: list[Any], **options: Any) -> list[Any]:
    """The gradient at each input, where it has stand-ins the sum of theirs; None without a path."""
    every = _with_stand_ins(inputs)
    parts = iter(sweep.grad(roots, [x for xs in every for x in xs], seeds, **options))
    own = [[g for g in itertools.islice(parts, len(xs)) if g is not None] for xs in every]
    return [functools.reduce(operator.add, gs) if gs else None for gs in own]


def _batched(outputs: Any, inputs: Any, seeds: Any, retain: Any, rest: Any) -> tuple[Any, ...]:
    """The gradients for each row of the seeds, stacked."""
    count = next(len(g) for g in seeds if g is not None)
    rows = []
    for n in range(count):
        row = [g if g is None else g[n] for g in seeds]
        rows.append(grad(outputs, inputs, row, retain if n + 1 == count else True, *rest))
    return tuple(None if xs[0] is None else _stacked(*xs) for xs in zip(*rows))


@primitive(name="stack")
def _stacked(*xs: Any) -> Any:
    return xp(xs[0]).stack(xs)


_stacked.defvjp(xs=lambda g, i: g[i])


def _answer(x: Any, g: Any, allow_unused: bool | None, materialize: bool) -> Any:
    if g is None and materialize:
        with on(device_of(x.array)):
            return wrap(xp(x.array).zeros(x.array.shape, x.array.dtype))
    if g is None and not allow_unused:
        raise RuntimeError(
            "One of the differentiated Tensors appears to not have been used in the graph. Set"
            " allow_unused=True if this is the desired behavior."
        )
    return g


def _listed(tensors: Any) -> list[Any]:
    return [tensors] if isinstance(tensors, Value) else list(tensors)


def _check_inputs(inputs: list[Any]) -> None:
    for x in inputs:
        if not isinstance(x, Value):
            raise TypeError(
                f"all inputs have to be Tensors or GradientEdges, but got {type(x).__name__}"
            )
        if sweep.source_of(x) is x and not x.needs_grad:
            raise RuntimeError("One of the differentiated Tensors does not require grad")


def _seeds(roots: list[Any], given: Any) -> list[Any]:
    gs = [None] * len(roots) if given is None else _listed(given)
    if len(gs) != len(roots):
        raise RuntimeError(f"got {len(roots)} tensors and {len(gs)} gradients")
    return [_seed(i, root, g) for i, (root, g) in enumerate(zip(roots, gs))]


def _seed(i: int, root: Any, g: Any) -> Any:
    """The gradient to start from at `root`; one where it is a single number."""
    if g is not None and not isinstance(g, Value):
        raise TypeError(f"gradients can be either Tensors or None, but got {type(g).__name__}")
    if sweep.source_of(root) is root and not root.needs_grad:
        raise RuntimeError(
            f"element {i} of tensors does not require grad and does not have a grad_fn"
        )
    array = root.array
    if g is None:
        if array.size != 1:
            raise RuntimeError(
                "grad can be implicitly created only for scalar outputs, but got an output of"
                f" shape {list(array.shape)}"
            )
        with on(device_of(array)):
            return wrap(xp(array).ones(array.shape, array.dtype))
    if g.array.shape != array.shape:
        raise RuntimeError(
            f"Mismatch in shape: grad_output[{i}] has a shape of {list(g.array.shape)} and"
            f" output[{i}] has a shape of {list(array.shape)}."
        )
    return g if g.array.dtype == array.dtype else g.to(root.dtype)  # type: ignore[attr-defined]
