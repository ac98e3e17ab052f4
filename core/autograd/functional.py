"""Products with Jacobians and Hessians of functions of tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from core.autograd.gradients import grad
from core.autograd.mode import enable_grad
from core.autograd.value import Value, wrap
from core.backend import device_of, on, xp

__all__ = ["hessian", "hvp", "jacobian", "jvp", "vhp", "vjp"]


def vjp(
    func: Callable[..., Any],
    inputs: Any,
    v: Any = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """(func(*inputs), `v` times the Jacobian of `func` there).

    Raises: RuntimeError where `v` is missing or does not fit; with `strict`, where nothing depends.
    """
    with enable_grad():
        single, xs = _inputs(inputs, create_graph)
        single_out, outs = _outputs(func(*xs), strict)
        vs = _weights(v, outs, "v")
        found = _gradients(outs, xs, vs, create_graph, strict)
    return _given(outs, single_out, create_graph), _given(found, single, create_graph)


def jvp(
    func: Callable[..., Any],
    inputs: Any,
    v: Any = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """(func(*inputs), the Jacobian of `func` there times `v`), from a vjp differentiated.

    Raises: RuntimeError where `v` is missing or does not fit; with `strict`, where nothing depends.
    """
    with enable_grad():
        _, xs = _inputs(inputs, create_graph)
        vs = _weights(v, xs, "v")
        single_out, outs = _outputs(func(*xs), strict)
        weights = tuple(_zeros(o).requires_grad_() for o in outs)
        backs = _gradients(outs, xs, weights, True, strict)
        found = _gradients(backs, weights, vs, create_graph, strict)
    return _given(outs, single_out, create_graph), _given(found, single_out, create_graph)


def jacobian(
    func: Callable[..., Any],
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    strategy: str = "reverse-mode",
) -> Any:
    """The Jacobian: per output (if several) and input (if several), of shape output + input.

    Raises: RuntimeError with `strict`, where an output does not depend on an input.
    """
    with enable_grad():
        single, xs = _inputs(inputs, create_graph)
        single_out, outs = _outputs(func(*xs), strict)
        rows = [_rows(out, xs, create_graph, strict) for out in outs]
    blocks = [_given(row, single, create_graph) for row in rows]
    return blocks[0] if single_out else tuple(blocks)


def hessian(
    func: Callable[..., Any],
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    outer_jacobian_strategy: str = "reverse-mode",
) -> Any:
    """The Hessian of a function of one number: per pair of inputs (if several).

    Raises: RuntimeError unless `func` returns a single number.
    """
    single = isinstance(inputs, Value)

    def gradient(*xs: Any) -> Any:
        out = _scalar(func(*xs))
        found = _gradients((out,), xs, (None,), True, strict)
        return found[0] if single else found

    return jacobian(gradient, inputs, create_graph, strict)


def vhp(
    func: Callable[..., Any],
    inputs: Any,
    v: Any = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """(func(*inputs), `v` times the Hessian of `func` there).

    Raises: RuntimeError unless `func` returns a single number, and `v` fits the inputs.
    """
    with enable_grad():
        single, xs = _inputs(inputs, create_graph)
        vs = _weights(v, xs, "v")
        out = _scalar(func(*xs))
        first = _gradients((out,), xs, (None,), True, strict)
        found = _gradients(first, xs, vs, create_graph, strict)
    return _given((out,), True, create_graph), _given(found, single, create_graph)


def hvp(
    func: Callable[..., Any],
    inputs: Any,
    v: Any = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """(func(*inputs), the Hessian of `func` there times `v`).

    Raises: RuntimeError unless `func` returns a single number, and `v` fits the inputs.
    """
    with enable_grad():
        single, xs = _inputs(inputs, create_graph)
        vs = _weights(v, xs, "v")
        out = _scalar(func(*xs))
        first = _gradients((out,), xs, (None,), True, strict)
        weights = tuple(_zeros(x).requires_grad_() for x in xs)
        second = _gradients(first, xs, weights, True, strict)
        found = _gradients(second, weights, vs, create_graph, strict)
    return _given((out,), True, create_graph), _given(found, single, create_graph)


# ---- in and out -------------------------------------------------------------------------------


def _tupled(values: Any, what: str) -> tuple[bool, tuple[Any, ...]]:
    single = isinstance(values, Value)
    found = (values,) if single else tuple(values) if isinstance(values, (tuple, list)) else None
    if found is None or not all(isinstance(x, Value) for x in found):
        kind = type(values).__name__
        raise TypeError(f"The {what} must be either a Tensor or a tuple of Tensors, but got {kind}")
    return single, found


def _inputs(inputs: Any, create_graph: bool) -> tuple[bool, tuple[Any, ...]]:
    """The inputs as leaves of their own; under `create_graph` as views of the caller's."""
    single, xs = _tupled(inputs, "inputs given to the function")
    if create_graph:
        return single, tuple(x.reshape(x.array.shape) if x.requires_grad else _leaf(x) for x in xs)
    return single, tuple(_leaf(x) for x in xs)


def _leaf(x: Any) -> Any:
    return x.detach().requires_grad_()


def _outputs(outputs: Any, strict: bool) -> tuple[bool, tuple[Any, ...]]:
    single, outs = _tupled(outputs, "outputs of the function")
    for i, out in enumerate(outs):
        if strict and not out.requires_grad:
            raise RuntimeError(
                f"Output {i} of the user-provided function does not require gradients. The outputs"
                " must be computed in a differentiable manner from the input when running in strict"
                " mode."
            )
    return single, outs


def _scalar(out: Any) -> Any:
    if not isinstance(out, Value):
        raise RuntimeError("The function given should return a single Tensor")
    if out.array.size != 1:
        raise RuntimeError(
            "The Tensor returned by the function given should contain a single element, but it has"
            f" {out.array.size}"
        )
    return out.reshape(()) if out.array.ndim else out  # type: ignore[attr-defined]


def _weights(v: Any, like: tuple[Any, ...], name: str) -> tuple[Any, ...]:
    if v is None:
        if len(like) != 1 or like[0].array.size != 1:
            raise RuntimeError(
                f"The vector {name} can only be None if the user-provided function returns a single"
                " Tensor with a single element."
            )
        return (None,) if like[0].node is not None else (_zeros(like[0]) + 1,)
    _, vs = _tupled(v, "vector v")
    if len(vs) != len(like):
        raise RuntimeError(
            f"{name} is a tuple of invalid length: should be {len(like)} but got {len(vs)}."
        )
    for i, (x, w) in enumerate(zip(like, vs)):
        if w.array.shape != x.array.shape:
            raise RuntimeError(
                f"Entry {i} in {name} has invalid size: should be {x.shape} but got {w.shape}"
            )
    return vs


def _zeros(x: Any) -> Any:
    return _blank(x, x.array.shape)


def _blank(like: Any, shape: tuple[int, ...]) -> Any:
    with on(device_of(like.array)):
        return wrap(xp(like.array).zeros(shape, like.array.dtype))


def _gradients(outs: Any, xs: Any, gs: Any, graph: bool, strict: bool) -> tuple[Any, ...]:
    """The gradients, zeros where nothing depends (an error if `strict`)."""
    tracked = [(out, g) for out, g in zip(outs, gs) if out.requires_grad]
    if not tracked:
        found: tuple[Any, ...] = (None,) * len(xs)
    else:
        roots, seeds = zip(*tracked)
        found = grad(roots, xs, seeds, True, graph, allow_unused=True)
    if strict and any(g is None for g in found):
        i = [g is None for g in found].index(True)
        raise RuntimeError(
            f"The output of the user-provided function is independent of input {i}. This is not"
            " allowed in strict mode."
        )
    return _filled(found, xs)


def _filled(found: Any, xs: Any) -> tuple[Any, ...]:
    return tuple(_zeros(x) if g is None else g for g, x in zip(found, xs))


def _rows(out: Any, xs: Any, graph: bool, strict: bool) -> list[Any]:
    """One block per input, of shape output + input, a row per element of the output."""
    flat = out.reshape(-1)
    found = [_gradients((flat[i],), xs, (None,), graph, strict) for i in range(flat.array.shape[0])]
    blocks = []
    for k, x in enumerate(xs):
        shape = (*out.array.shape, *x.array.shape)
        parts = [row[k] for row in found]
        blocks.append(_stacked(parts, x).reshape(shape))
    return blocks


def _stacked(parts: list[Any], like: Any) -> Any:
    """The parts below each other."""
    out = _blank(like, (len(parts), *like.array.shape))
    for i, part in enumerate(parts):
        out[i] = part
    return out


def _given(values: Any, single: bool, create_graph: bool) -> Any:
    done = tuple(x if create_graph else x.detach() for x in values)
    return done[0] if single else done
