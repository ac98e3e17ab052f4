"""Masks of attention whose shape does not fit are refused with PyTorch's words."""

import pytest

import core

torch = pytest.importorskip("torch")


@pytest.mark.parametrize("mask", [(3, 3), (1, 2), (2, 2), (2, 2, 2), (4, 2, 2), (6, 2, 2)])
def test_a_mask_fits_queries_and_keys_or_is_refused_with_both_shapes(mask):
    said = []
    for lib in (core, torch):
        x = lib.ones(2, 3, 4)
        try:
            found = lib.nn.MultiheadAttention(4, 2)(x, x, x, attn_mask=lib.zeros(*mask))
            said.append(tuple(found[0].shape))
        except RuntimeError as error:
            said.append(str(error).replace("core.", "torch."))
    assert said[0] == said[1]
