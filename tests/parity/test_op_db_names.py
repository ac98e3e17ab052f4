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
    "nothing is done, so nothing is recorded": """
        nn.functional.adaptive_avg_pool2d nn.functional.adaptive_avg_pool3d
        nn.functional.dropout3d
    """,
    "no elements": "nn.functional.local_response_norm",
    "one function under two names": "cholesky __rsub__ __rdiv__",
    "made of other ops": """
        diff linalg.lu_solve linalg.matrix_norm linalg.tensorinv linalg.vander linalg.vecdot
        nn.functional.alpha_dropout nn.functional.feature_alpha_dropout.with_train
        nn.functional.interpolate.area nn.functional.pad.circular nn.functional.pdist
        nn.functional.smooth_l1_loss special.ndtr to bfloat16 double float half
    """,
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
    both = [names(op, sample) for sample in samples(op, torch.float64, 2)]
    found = [(theirs, own) for theirs, own in both if theirs and own and theirs != own]
    if full_name(op) not in " ".join(KNOWN.values()).split():
        assert found == []
