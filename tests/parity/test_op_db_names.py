"""The nodes that PyTorch's own database of ops makes bear PyTorch's names, which printing shows."""

import pytest

from tests.parity.op_db import OPS, full_name, leaves, ours, outcome, samples, to_core, torch

# Ops whose last node is another one here in some samples, by reason.
KNOWN = {
    "one op here, a view of the product of all rows there": "matmul __rmatmul__",
    "the shortest way for this equation": "einsum",
    "kernels of PyTorch's own": """
        nn.functional.scaled_dot_product_attention nn.functional.linear_cross_entropy.chunked
        nn.functional.linear_cross_entropy.chunked_none
    """,
    "no elements": """
        diff linalg.vecdot nn.functional.local_response_norm nn.functional.pad.circular
    """,
    "one function under two names": "cholesky __rsub__ __rdiv__",
    "made of other ops": "linalg.matrix_norm nn.functional.dropout3d",
}


def node_name(x):
    """The name of the node that a tensor of either library came from."""
    return None if x.grad_fn is None else x.grad_fn.name()


def names(op, sample):
    """PyTorch's names of the nodes of the results, and ours."""
    args, memo = (sample.input, *sample.args), {}
    own_args, own_kwargs = to_core((args, sample.kwargs), memo)
    for x in leaves((args, sample.kwargs)):
        memo[id(x)][0].requires_grad_(x.requires_grad)
    results = (
        outcome(op.op, *args, **sample.kwargs),
        outcome(ours(op.op, op.name), *own_args, **own_kwargs),
    )
    return [[node_name(x) for x in leaves(result)] for result in results]


def present(op):
    """Whether we have an op at all."""
    try:
        return callable(ours(op.op, op.name))
    except AttributeError:
        return False


DIFFERENTIABLE = [op for op in OPS if op.supports_autograd and present(op)]


@pytest.mark.parametrize("op", DIFFERENTIABLE, ids=full_name)
def test_names(op):
    known = full_name(op) in " ".join(KNOWN.values()).split()
    both = [names(op, sample) for sample in samples(op, torch.float64, 12 if known else 2)]
    found = [(theirs, own) for theirs, own in both if theirs and own and theirs != own]
    assert bool(found) == known, found or "these differ no longer: strike it off KNOWN"
