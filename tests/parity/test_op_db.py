"""PyTorch's own database of ops: what every sample of it gives is the same in both libraries."""

import pytest

from tests.parity.op_db import OPS, differences, full_name, leaves, ours, samples, torch

# How many samples of each dtype; gradients are of the floating ones, second ones of float64.
MOST = {"float64": 6, "float32": 2, "int64": 2, "bool": 2, "bfloat16": 2}

# What is known to differ, by reason: "op/form:kind". What no longer differs is to be struck off.
KNOWN = {
    "PyTorch's derivative is wrong: finite differences say so": "linalg.pinv.hermitian/grad:value",
    "PyTorch's derivative is NaN, or of another reading of what overlaps": """
        as_strided_scatter/grad:value linalg.norm.subgradients_at_zero/gradgrad:value
        nn.functional.linear_cross_entropy.chunked/gradgrad:value
        nn.functional.linear_cross_entropy.chunked_none/grad:accepts""",
    "PyTorch loses digits, 0.003 of 1 in float32 and all in half precision":
        "logcumsumexp/grad:value",
    "PyTorch's result in bfloat16 is noise; ours raises":
        "matrix_exp/method:raises matrix_exp/out:raises",
    "PyTorch's solution is a part of the right side's memory": """linalg.lstsq/out:strides
        linalg.lstsq/out=:strides linalg.lstsq.grad_oriented/out:strides""",
    "half precision takes the float64 that is written to it": "float_power/inplace:accepts",
    "of no dims, without elements": "nn.functional.batch_norm/out:raises",
    "deprecated: linalg.lu_factor is what it says": "lu/missing",
}  # fmt: skip


def seen(op):
    """Every difference of an op to what was seen of it."""
    try:
        ours(op.op, op.name)
    except AttributeError as error:
        return {f"{full_name(op)}/missing": str(error)}
    found = {}
    for name, most in MOST.items():
        for sample in samples(op, getattr(torch, name), most):
            for kind, text in differences(op, sample).items():
                found[f"{full_name(op)}/{kind}"] = f"{name} {sample.summary()}: {text}"
    return found


# The ops of which the database's larger set of samples, for PyTorch's own references, showed more.
REFERENCES = """add sub mul div true_divide floor_divide arange linspace logspace double
    nn.functional.threshold nn.functional.margin_ranking_loss nn.functional.multi_margin_loss
    lu_solve linalg.lu_solve linalg.matrix_rank unique unique_consecutive""".split()


def apart(x):
    """Whether no two elements of PyTorch's `x` share memory."""
    end = 1
    for step, n in sorted((s, n) for s, n in zip(x.stride(), x.shape, strict=True) if n > 1):
        if step < end:
            return False
        end = step * (n - 1) + end
    return True


def as_leaf(x):
    """PyTorch's `x` without what it came from: a view of a leaf is no leaf here."""
    return x.detach().requires_grad_(x.requires_grad) if isinstance(x, torch.Tensor) else x


@pytest.mark.parametrize("op", [op for op in OPS if op.name in REFERENCES], ids=full_name)
@pytest.mark.parametrize("dtype", [torch.float64, torch.int64], ids=["float64", "int64"])
def test_reference_samples(op, dtype):
    for sample in samples(op, dtype, 400, references=True):
        tensors = leaves((sample.input, sample.args, sample.kwargs))
        if all(x.numel() < 2000 and apart(x) for x in tensors):
            assert differences(op, sample.transform(as_leaf)) == {}, sample.summary()


@pytest.mark.parametrize("op", OPS, ids=full_name)
def test_samples(op):
    found = seen(op)
    words = [word for words in KNOWN.values() for word in words.split()]
    expected = {word for word in words if word.startswith(full_name(op) + "/")}
    assert {word: text for word, text in found.items() if word not in expected} == {}
    assert expected <= found.keys(), "these differ no longer: strike them off KNOWN"
