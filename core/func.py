"""What people know as torch.func: functions made from functions by differentiating or mapping.

A transform leaves `.grad` alone. Its result belongs to a graph only where something that requires
grad outside of it went in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from core.autograd import gradients
from core.autograd.mode import enable_grad, is_grad_enabled
from core.autograd.value import Value
from core.nn.stateless import functional_call as functional_call
from core.ops.creation import ones_like, zeros_like
from core.ops.join import stack
from core.random import get_rng_state, set_rng_state

__all__ = """
functional_call grad grad_and_value hessian jacfwd jacrev jvp stack_module_state vjp vmap
""".split()
Function = Callable[..., Any]

# ---- nested inputs and outputs ----------------------------------------------------------------


def _leaves(tree: Any) -> Iterator[Any]:
    if isinstance(tree, dict):
        tree = tree.values()
    elif not isinstance(tree, (list, tuple)):
        yield tree
        return
    for part in tree:
        yield from _leaves(part)


def _mapped(function: Function, tree: Any) -> Any:
    """The tree with `function` of each leaf in its place."""
    if isinstance(tree, dict):
        return type(tree)((key, _mapped(function, part)) for key, part in tree.items())
    if isinstance(tree, (list, tuple)):
        parts = [_mapped(function, part) for part in tree]
        return type(tree)(*parts) if hasattr(tree, "_fields") else type(tree)(parts)
    return function(tree)


def _tensors(tree: Any) -> list[Any]:
    return [leaf for leaf in _leaves(tree) if isinstance(leaf, Value)]


def _refilled(tree: Any, values: Any) -> Any:
    """The tree with its tensors replaced by the next of `values`."""
    following = iter(values)
    return _mapped(lambda leaf: next(following) if isinstance(leaf, Value) else leaf, tree)


# ---- what is differentiated -------------------------------------------------------------------


class _Inputs:
    """The arguments of a function, those to differentiate by made tensors of their own."""

    def __init__(self, args: tuple[Any, ...], argnums: int | tuple[int, ...]) -> None:
        self.one = isinstance(argnums, int)
        chosen = (argnums,) if isinstance(argnums, int) else argnums
        places = [i + len(args) if i < 0 else i for i in chosen]
        if not all(0 <= i < len(args) for i in places):
            raise RuntimeError(f"Got argnums={argnums}, but only {len(args)} positional inputs")
        self.args = [_mapped(_own, x) if i in places else x for i, x in enumerate(args)]
        self.chosen = [self.args[i] for i in places]
        self.tensors = _tensors(self.chosen)

    def gradients(self, outs: Any, weights: Any) -> list[Any]:
        """What `weights` times the derivatives of the outputs is, zeros without a path."""
        pairs = [(out, w) for out, w in zip(outs, weights) if out.requires_grad]
        if not pairs:
            return [zeros_like(x) for x in self.tensors]
        tops, tangents = zip(*pairs)
        return list(
            gradients.grad(
                tops, self.tensors, tangents, True, True, allow_unused=True, materialize_grads=True
            )
        )

    def arranged(self, values: Any) -> Any:
        """Values for the tensors, nested as the arguments are."""
        found = _refilled(self.chosen, values)
        return found[0] if self.one else tuple(found)

    def released(self, tree: Any, *others: Any) -> Any:
        """The results, out of the graph where it leads to nothing but these tensors and others."""
        own = {id(x) for x in (*self.tensors, *others) if x.is_leaf}
        return _mapped(lambda x: x.detach() if _ends_in(x, own) else x, tree)


def _own(x: Any) -> Any:
    if not isinstance(x, Value):
        return x
    tensor: Any = x
    return tensor.view_as(tensor) if tensor.requires_grad else tensor.detach().requires_grad_()


def _ends_in(x: Any, own: set[int]) -> bool:
    """Whether all paths of a result's graph end in the tensors `own`."""
    if not isinstance(x, Value):
        return False
    if not is_grad_enabled() or id(x) in own:
        return True
    todo, seen = [x.grad_fn], {None}  # type: ignore[attr-defined]
    while todo:
        node = todo.pop()
        if node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable") and id(node.variable) not in own:
            return False
        todo += [following for following, _ in node.next_functions]
    return True


def _split(out: Any, has_aux: bool, name: str) -> tuple[Any, Any]:
    if not has_aux:
        return out, None
    if not (isinstance(out, tuple) and len(out) == 2):
        raise RuntimeError(
            f"{name}: output of function f should be a tuple: (output, aux) if has_aux is True"
        )
    return out


# ---- transforms -------------------------------------------------------------------------------


def grad_and_value(func: Function, argnums: Any = 0, has_aux: bool = False) -> Function:
    """The function of the gradient of `func`, a number, by some arguments, and of its value.

    Raises: RuntimeError, when called, where `func` gives no tensor of one number.
    """

    def differentiated(*args: Any, **kwargs: Any) -> Any:
        with enable_grad():
            inputs = _Inputs(args, argnums)
            value, aux = _split(func(*inputs.args, **kwargs), has_aux, "grad_and_value")
            if not isinstance(value, Value) or value.array.ndim:
                raise RuntimeError(
                    "Expected f(*args) to return a scalar tensor, got"
                    f" {value.array.ndim if isinstance(value, Value) else type(value)} dims"
                )
            found = inputs.gradients([value], [ones_like(value)])
        results = (inputs.arranged(found), (value, aux) if has_aux else value)
        return inputs.released(results)

    return differentiated


def grad(func: Function, argnums: Any = 0, has_aux: bool = False) -> Function:
    """The function of the gradient of `func`, which gives a number, by some of its arguments.

    Example:
        >>> import core
        >>> grad(lambda x: x.sin())(core.tensor(0.0))
        tensor(1.)
    """
    both = grad_and_value(func, argnums, has_aux)

    def differentiated(*args: Any, **kwargs: Any) -> Any:
        found, value = both(*args, **kwargs)
        return (found, value[1]) if has_aux else found

    return differentiated


def vjp(func: Function, *primals: Any, has_aux: bool = False) -> Any:
    """func(*primals), and the function of a vector times the Jacobian there."""
    with enable_grad():
        inputs = _Inputs(primals, tuple(range(len(primals))))
        out, aux = _split(func(*inputs.args), has_aux, "vjp")

    def product(cotangents: Any, retain_graph: bool = True, create_graph: bool = True) -> Any:
        with enable_grad():
            found = inputs.gradients(_tensors(out), _tensors(cotangents))
        return inputs.released(inputs.arranged(found))

    results = (inputs.released(out), product)
    return (*results, inputs.released(aux)) if has_aux else results


def jvp(func: Function, primals: Any, tangents: Any, *, has_aux: bool = False) -> Any:
    """func(*primals), and the Jacobian there times a vector: a product differentiated again."""
    with enable_grad():
        inputs = _Inputs(tuple(primals), tuple(range(len(primals))))
        out, aux = _split(func(*inputs.args), has_aux, "jvp")
        weights = _Inputs((_mapped(zeros_like, _tensors(out)),), (0,))
        found = inputs.gradients(_tensors(out), weights.tensors)
        changes = weights.gradients(found, _tensors(tangents))
    results = inputs.released((out, _refilled(out, changes)), *weights.tensors)
    return (*results, inputs.released(aux)) if has_aux else results


def jacrev(
    func: Function, argnums: Any = 0, *, has_aux: bool = False, chunk_size: int | None = None
) -> Function:
    """The function of the Jacobian of `func` by some arguments, one product per output number."""

    def differentiated(*args: Any, **kwargs: Any) -> Any:
        with enable_grad():
            inputs = _Inputs(args, argnums)
            out, aux = _split(func(*inputs.args, **kwargs), has_aux, "jacrev")
            found = _mapped(lambda y: inputs.arranged(_rows(inputs, y)), out)
        return inputs.released((found, aux) if has_aux else found)

    return differentiated


def _rows(inputs: _Inputs, y: Any) -> list[Any]:
    rows = [inputs.gradients([one], [ones_like(one)]) for one in y.reshape(-1)]
    if not rows:
        return [x.new_zeros((*y.shape, *x.shape)) for x in inputs.tensors]
    return [
        stack(column).reshape(*y.shape, *x.shape) for column, x in zip(zip(*rows), inputs.tensors)
    ]


def jacfwd(
    func: Function, argnums: Any = 0, has_aux: bool = False, *, randomness: str = "error"
) -> Function:
    """What `jacrev` gives: there is no forward mode."""
    return jacrev(func, argnums, has_aux=has_aux)


def hessian(func: Function, argnums: Any = 0) -> Function:
    """The function of the second derivatives of `func` by some of its arguments."""
    return jacrev(jacrev(func, argnums), argnums)


# ---- mapping ----------------------------------------------------------------------------------


def vmap(
    func: Function,
    in_dims: Any = 0,
    out_dims: Any = 0,
    randomness: str = "error",
    *,
    chunk_size: int | None = None,
) -> Function:
    """The function that calls `func` for each index of a dim of its inputs and stacks the results.

    Arguments by keyword go in whole. With `randomness` "same" each call draws the same numbers.
    Raises: ValueError, when called, for inputs without such a dim, or of several sizes.
    """

    def mapped(*args: Any, **kwargs: Any) -> Any:
        dims = in_dims if isinstance(in_dims, (tuple, list)) else (in_dims,) * len(args)
        given = [_spread(x, dim) for x, dim in zip(args, dims, strict=True)]
        sizes = dict.fromkeys(
            x.shape[dim] for pairs in given for x, dim in pairs if dim is not None
        )
        if len(sizes) != 1:
            raise ValueError(f"vmap: expected one size of the mapped dims, got {list(sizes)}")
        state, outs = get_rng_state(), []
        for i in range(next(iter(sizes))):
            if randomness == "same":
                set_rng_state(state)
            picked = [
                _refilled(tree, [x if dim is None else x.select(dim, i) for x, dim in pairs])
                for tree, pairs in zip(args, given)
            ]
            outs.append(func(*picked, **kwargs))
        return _stacked(outs, out_dims)

    return mapped


def _spread(tree: Any, dim: Any) -> list[tuple[Any, int | None]]:
    """The tensors of a tree, each with the dim that is mapped."""
    if isinstance(dim, (tuple, list)):
        return [pair for part, one in zip(tree, dim, strict=True) for pair in _spread(part, one)]
    if isinstance(dim, dict):
        return [pair for key, one in dim.items() for pair in _spread(tree[key], one)]
    return [(x, dim) for x in _tensors(tree)]


def _stacked(outs: list[Any], dims: Any) -> Any:
    if isinstance(dims, (tuple, list)):
        return tuple(_stacked([out[i] for out in outs], dim) for i, dim in enumerate(dims))
    columns = zip(*(_tensors(out) for out in outs))
    return _refilled(outs[0], [stack(column, dims) for column in columns])


def stack_module_state(models: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The parameters of modules of one form stacked by name, as leaves; and their buffers.

    Raises: RuntimeError for no module.
    """
    if not models:
        raise RuntimeError("stack_module_state: Expected at least one model, got 0.")
    of_each = [dict(model.named_parameters()) for model in models]
    buffers = [dict(model.named_buffers()) for model in models]
    parameters = {
        name: stack([own[name] for own in of_each]).detach().requires_grad_(first.requires_grad)
        for name, first in of_each[0].items()
    }
    return parameters, {name: stack([own[name] for own in buffers]) for name in buffers[0]}
