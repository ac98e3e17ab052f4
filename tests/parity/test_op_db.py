"""PyTorch's own database of ops: what every sample of it gives is the same in both libraries."""

import pytest

from tests.parity.op_db import OPS, differences, full_name, ours, samples, torch

# How many samples of each dtype; gradients are of the floating ones, second ones of float64.
MOST = {"float64": 6, "float32": 2, "int64": 2, "bool": 2, "bfloat16": 2}

# What is known to differ, by reason: "op/form:kind". What no longer differs is to be struck off.
KNOWN = {
    "names that we do not have": """
        __rdiv__/missing alias_copy/missing angle/missing as_strided_copy/missing
        as_strided_scatter/missing conj/missing conj_physical/missing diagonal_copy/missing
        empty_permuted/missing expand_copy/missing fill/missing frexp/missing geqrf/missing
        gradient/missing histogram/missing histogramdd/missing igamma/missing igammac/missing
        imag/missing linalg.cholesky_ex/missing linalg.householder_product/missing
        linalg.inv_ex/missing linalg.ldl_factor/missing linalg.ldl_factor_ex/missing
        linalg.ldl_solve/missing linalg.lu/missing linalg.lu_factor/missing
        linalg.lu_factor_ex/missing linalg.lu_solve/missing linalg.solve_ex/missing
        linalg.tensorinv/missing linalg.tensorsolve/missing linalg.vander/missing
        linalg.vecdot/missing lu/missing lu_solve/missing lu_unpack/missing narrow_copy/missing
        nonzero_static/missing ormqr/missing permute_copy/missing renorm/missing
        resolve_conj/missing resolve_neg/missing select_scatter/missing special.entr/missing
        special.erfcx/missing special.i0e/missing special.i1/missing special.i1e/missing
        special.log_ndtr/missing special.ndtr/missing special.ndtri/missing
        special.xlog1py/missing special.zeta/missing split_with_sizes_copy/missing
        squeeze_copy/missing t_copy/missing transpose_copy/missing triangular_solve/missing
        unbind_copy/missing unfold_copy/missing unravel_index/missing unsafe_chunk/missing
        unsafe_split/missing unsqueeze_copy/missing view_copy/missing
    """,
    "to be mended": """
        cauchy/inplace:raises cauchy/out:raises cholesky_inverse/out=:raises
        cholesky_solve/out=:raises float_power/inplace:accepts geometric/inplace:raises
        geometric/out:raises isin/out=:raises linalg.lstsq.grad_oriented/out:requires_grad
        linalg.lstsq.grad_oriented/out:strides linalg.lstsq/out:requires_grad
        linalg.lstsq/out:strides linalg.lstsq/out=:raises
        linalg.norm.subgradients_at_zero/grad:none
        linalg.norm.subgradients_at_zero/gradgrad:value linalg.norm/grad:none
        linalg.pinv.hermitian/out:value linalg.pinv.hermitian/out=:value
        linalg.vector_norm/grad:none log_normal/inplace:raises log_normal/out:raises
        log_softmax.with_dtype/out=:raises log_softmax/out=:raises logcumsumexp/grad:value
        matrix_exp/method:raises matrix_exp/out:raises nn.functional.avg_pool1d/out:dtype
        nn.functional.avg_pool2d/out:dtype nn.functional.avg_pool2d/out=:raises
        nn.functional.avg_pool3d/out:dtype nn.functional.avg_pool3d/out=:raises
        nn.functional.batch_norm/out:raises nn.functional.gelu/out=:raises
        nn.functional.hardshrink/out=:raises nn.functional.hardtanh/out:dtype
        nn.functional.leaky_relu/out:dtype nn.functional.linear/out=:raises
        nn.functional.linear_cross_entropy.chunked/out:raises
        nn.functional.linear_cross_entropy.chunked_none/out:raises
        nn.functional.logsigmoid/out=:raises nn.functional.multi_margin_loss/out:raises
        nn.functional.multilabel_margin_loss/out:raises nn.functional.relu6/out:dtype
        nn.functional.softplus/out=:raises nn.functional.softshrink/out:dtype
        nn.functional.softshrink/out=:raises nn.functional.unfold/out:raises norm/grad:none
        normal.number_mean/out=:raises pca_lowrank/out:raises pinverse/method:raises
        polygamma.polygamma_n_0/inplace:raises polygamma.polygamma_n_1/inplace:raises
        polygamma.polygamma_n_2/inplace:raises polygamma.polygamma_n_3/inplace:raises
        polygamma.polygamma_n_4/inplace:raises softmax.with_dtype/out=:raises
        softmax/out=:raises special.polygamma.special_polygamma_n_0/out:raises
        sum_to_size/method:raises sum_to_size/out:raises svd/out=:raises svd_lowrank/out:raises
    """,
}


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


@pytest.mark.parametrize("op", OPS, ids=full_name)
def test_samples(op):
    found = seen(op)
    words = [word for words in KNOWN.values() for word in words.split()]
    expected = {word for word in words if word.startswith(full_name(op) + "/")}
    assert {word: text for word, text in found.items() if word not in expected} == {}
    assert expected <= found.keys(), "these differ no longer: strike them off KNOWN"
