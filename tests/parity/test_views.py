"""Views share memory, have PyTorch's strides and node names, and write through to their base."""

import numpy
import pytest

import core
from tests.parity.recipes import torch

VIEWS = {
    "select": lambda x: x[1],
    "select_negative": lambda x: x[-1, 2],
    "slice": lambda x: x[0:1, 1:, ::2],
    "whole_slice": lambda x: x[:],
    "ellipsis": lambda x: x[...],
    "ellipsis_select": lambda x: x[..., 0],
    "new_axis": lambda x: x[:, None, 1],
    "select_method": lambda x: x.select(1, 2),
    "narrow": lambda x: x.narrow(2, 1, 2),
    "view": lambda x: x.view(6, 4),
    "view_minus_one": lambda x: x.view(-1, 2),
    "view_as": lambda x: x.view_as(x.reshape(4, 6)),
    "reshape": lambda x: x.reshape(3, 8),
    "reshape_of_transposed": lambda x: x.transpose(0, 1).reshape(3, 2, 2, 2),
    "flatten": lambda x: x.flatten(1),
    "ravel": lambda x: x.ravel(),
    "unflatten": lambda x: x.unflatten(2, (2, -1)),
    "transpose": lambda x: x.transpose(0, 2),
    "permute": lambda x: x.permute(2, 0, 1),
    "t": lambda x: x[0].t(),
    "T": lambda x: x[0].T,
    "mT": lambda x: x.mT,
    "movedim": lambda x: x.movedim((0, 1), (2, 0)),
    "swapaxes": lambda x: x.swapaxes(0, 1),
    "squeeze": lambda x: x[:1].squeeze(0),
    "squeeze_all": lambda x: x[:1, :, :1].squeeze(),
    "squeeze_some": lambda x: x[:1, :, :1].squeeze((0, 2)),
    "unsqueeze": lambda x: x.unsqueeze(1),
    "unsqueeze_last": lambda x: x.unsqueeze(-1),
    "expand": lambda x: x[:, :1].expand(2, 5, -1),
    "expand_leading": lambda x: x.expand(3, 2, 3, 4),
    "expand_as": lambda x: x[:1].expand_as(x),
    "broadcast_to": lambda x: x[0].broadcast_to((2, 3, 4)),
    "diagonal": lambda x: x.diagonal(1, 1, 2),
    "diagonal_below": lambda x: x.diagonal(-1, 1, 2),
    "unfold": lambda x: x.unfold(2, 3, 1),
    "split": lambda x: x.split(2, 1)[1],
    "split_sizes": lambda x: x.split([1, 3], 2)[1],
    "chunk": lambda x: x.chunk(2, 2)[1],
    "unbind": lambda x: x.unbind(1)[2],
    "iteration": lambda x: list(x)[1],
    "tensor_split": lambda x: x.tensor_split(3, 2)[1],
    "hsplit": lambda x: x.hsplit(3)[1],
    "as_strided": lambda x: x.as_strided((2, 3), (12, 2), 3),
    "as_strided_overlapping": lambda x: x.as_strided((3, 3), (1, 1)),
    "detach": lambda x: x.detach(),
    "real": lambda x: x.real,
    "chain": lambda x: x.transpose(0, 1)[1:].unsqueeze(0)[:, :, 1],
}  # fmt: skip
COPIES = {
    "reshape_of_permuted": lambda x: x.permute(2, 0, 1).reshape(-1),
    "index": lambda x: x[[0, 1]],
    "mask": lambda x: x[x > 0],
    "contiguous": lambda x: x.mT.contiguous(),
    "clone": lambda x: x.clone(),
    "cat": lambda x: (core if isinstance(x, core.Tensor) else torch).cat([x, x]),
    "flip": lambda x: x.flip(0),
    "roll": lambda x: x.roll(1, 0),
    "repeat": lambda x: x.repeat(1, 1, 1),
}
SAME_PLACE = {"index", "mask"}


def both():
    values = numpy.random.default_rng(0).standard_normal((2, 3, 4))
    return torch.from_numpy(values.copy()), core.from_numpy(values.copy())


def names(x):
    return None if x.grad_fn is None else x.grad_fn.name()


@pytest.mark.parametrize("name", VIEWS)
def test_views_lie_where_pytorchs_lie(name):
    theirs, ours = both()
    x, y = VIEWS[name](theirs), VIEWS[name](ours)
    assert tuple(y.shape) == tuple(x.shape)
    assert y.stride() == x.stride()
    assert y.data_ptr() - ours.data_ptr() == x.data_ptr() - theirs.data_ptr()
    assert y.storage_offset() == x.storage_offset()
    numpy.testing.assert_array_equal(y.numpy(), x.numpy())


@pytest.mark.parametrize("name", VIEWS)
def test_writing_to_the_base_shows_in_the_view(name):
    _, ours = both()
    y = VIEWS[name](ours)
    ours.fill_(7.0)
    assert (y == 7.0).all()


@pytest.mark.parametrize("name", COPIES)
def test_copies_have_their_own_memory(name):
    theirs, ours = both()
    x, y = COPIES[name](theirs), COPIES[name](ours)
    assert y.stride() == x.stride()
    before = y.clone()
    ours.fill_(7.0)
    assert (y == before).all()


@pytest.mark.parametrize("name", [*VIEWS, *COPIES])
def test_node_names_and_gradients(name):
    function = (VIEWS | COPIES)[name]
    theirs, ours = both()
    theirs.requires_grad_(), ours.requires_grad_()
    x, y = function(theirs), function(ours)
    if name in ("detach", "real", "ravel", "iteration"):
        assert y.requires_grad == x.requires_grad
    if not x.requires_grad:
        return
    assert names(y) == names(x)
    (x * x * x).sum().backward(), (y * y * y).sum().backward()
    numpy.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), 1e-12)


WRITABLE = [
    name
    for name in VIEWS
    if not name.startswith(("expand", "broadcast", "split", "chunk", "unbind", "iteration"))
    and name not in ("as_strided_overlapping", "unfold", "detach", "real")
]


@pytest.mark.parametrize("name", WRITABLE)
def test_writing_through_a_view_has_pytorchs_gradients(name):
    grads = []
    for leaf in both():
        leaf.requires_grad_()
        x = leaf * 2
        VIEWS[name](x).mul_(3)
        (x * x).sum().backward()
        grads.append(leaf.grad.numpy())
    numpy.testing.assert_allclose(grads[1], grads[0], 1e-12)


@pytest.mark.parametrize("name", ["split", "split_sizes", "chunk", "unbind", "iteration"])
def test_tracked_outputs_of_several_views_cannot_be_written(name):
    for leaf in both():
        x = leaf.requires_grad_() * 2
        with pytest.raises(
            RuntimeError, match=r"view .*is being modified inplace|is a view and is being modified"
        ):
            VIEWS[name](x).mul_(2)
    for x in both():
        assert VIEWS[name](x).mul_(2) is not None


@pytest.mark.parametrize("name", ["expand_leading", "expand"])
def test_stretched_views_cannot_be_written(name):
    for x in both():
        with pytest.raises(RuntimeError, match="more than one element of the written-to tensor"):
            VIEWS[name](x).add_(1)


def test_view_as_another_dtype_shares_memory():
    theirs, ours = torch.arange(6.0), core.arange(6.0)
    for name in ("int32", "int16", "float64", "uint8"):
        x, y = theirs.view(getattr(torch, name)), ours.view(getattr(core, name))
        assert y.shape == tuple(x.shape) and y.data_ptr() == ours.data_ptr()
        numpy.testing.assert_array_equal(y.numpy(), x.numpy())


ERRORS = {
    "view of permuted": lambda x: x.permute(2, 0, 1).view(-1),
    "wrong count": lambda x: x.view(5),
    "two unknowns": lambda x: x.view(-1, -1),
    "reshape": lambda x: x.reshape(7, -1),
    "reshape below -1": lambda x: x.reshape(-2),
    "transpose": lambda x: x.transpose(0, 3),
    "permute": lambda x: x.permute(0, 1),
    "permute twice": lambda x: x.permute(0, 0, 1),
    "expand": lambda x: x.expand(3, 3, 4),
    "expand fewer": lambda x: x.expand(4),
    "narrow": lambda x: x.narrow(0, 1, 2),
    "narrow start": lambda x: x.narrow(0, 3, 1),
    "select": lambda x: x.select(0, 2),
    "select dim": lambda x: x.select(3, 0),
    "split": lambda x: x.split([1, 2], 0),
    "split negative": lambda x: x.split(-1),
    "chunk": lambda x: x.chunk(0),
    "diagonal": lambda x: x.diagonal(0, 1, 1),
    "unfold": lambda x: x.unfold(0, 3, 1),
    "unflatten": lambda x: x.unflatten(2, (3, 2)),
    "flatten": lambda x: x.flatten(2, 1),
    "squeeze": lambda x: x.squeeze(5),
    "unsqueeze": lambda x: x.unsqueeze(5),
    "t": lambda x: x.t(),
    "as_strided": lambda x: x.as_strided((100,), (1,)),
    "as_strided lengths": lambda x: x.as_strided((2, 2), (1,)),
    "float size": lambda x: x.view(2.0, 12),
    "movedim": lambda x: x.movedim((0, 1), (0, 0)),
    "hsplit": lambda x: x.hsplit(2),
    "unbind dim": lambda x: x.unbind(4),
    "view dtype": lambda x: x.mT.view((core if isinstance(x, core.Tensor) else torch).float32),
}


@pytest.mark.parametrize("name", ERRORS)
def test_wrong_arguments_raise_what_pytorch_raises(name):
    theirs, ours = both()
    with pytest.raises(Exception) as expected:
        ERRORS[name](theirs)
    with pytest.raises(expected.type):
        ERRORS[name](ours)
