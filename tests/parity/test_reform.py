"""Tensors that get another form in place: the same memory, values, gradients and errors."""

import pytest

from tests.parity.programs import Table, leaf, same

program = Table()
FORMS = {
    "squeeze": ((2, 1, 3), ("squeeze_",)),
    "squeeze one": ((2, 1, 3), ("squeeze_", 1)),
    "squeeze one of another size": ((2, 1, 3), ("squeeze_", 0)),
    "squeeze some": ((2, 1, 1), ("squeeze_", (1, 2))),
    "squeeze out of range": ((2, 1), ("squeeze_", 2)),
    "unsqueeze": ((2, 3), ("unsqueeze_", -1)),
    "unsqueeze a number": ((), ("unsqueeze_", 0)),
    "unsqueeze out of range": ((2,), ("unsqueeze_", 2)),
    "t": ((2, 3), ("t_",)),
    "t of a vector": ((3,), ("t_",)),
    "t of three dims": ((2, 1, 3), ("t_",)),
    "transpose": ((2, 1, 3), ("transpose_", 0, -1)),
    "transpose out of range": ((2, 3), ("transpose_", 0, 5)),
    "swapaxes": ((2, 1, 3), ("swapaxes_", 0, 1)),
    "swapdims": ((2, 1, 3), ("swapdims_", 2, 1)),
    "as_strided": ((2, 3), ("as_strided_", (2, 2), (1, 2), 1)),
}


def form(name, how):
    shape, (method, *args) = FORMS[name]

    def run(m):
        x = m.arange(6.0 if 3 in shape else 2.0, dtype=m.float64)
        x = x[: max(1, len(x) if shape else 1)].reshape(shape)
        return how(m, x, method, args)

    return run


def untracked(m, x, method, args):
    memory = x.data_ptr()
    y = getattr(x, method)(*args)
    return y is x, y, y.stride(), y.data_ptr() == memory, y._version, y._is_view()


def tracked(m, x, method, args):
    x.requires_grad_()
    y = x * 2
    getattr(y, method)(*args)
    name = y.grad_fn.name()
    y.mul_(3)
    (y * y).sum().backward()
    return y, name, x.grad


def of_a_view(m, x, method, args):
    x.requires_grad_()
    base = m.cat([x.reshape(-1), m.ones(2, dtype=m.float64)]) * 2
    y = base[: x.numel()].view(x.shape)
    getattr(y, method)(*args)
    y.mul_(3)
    (base * base).sum().backward()
    return base, y, y._base is base, x.grad


def with_earlier_views(m, x, method, args):
    x.requires_grad_()
    y = x * 2
    before = y.view(-1)
    getattr(y, method)(*args)
    after = y.reshape(-1)
    before[:1].mul_(5)
    (y * y).sum().backward()
    return y, before, after, x.grad


@pytest.mark.parametrize("how", [untracked, tracked, of_a_view])
@pytest.mark.parametrize("name", FORMS)
def test_form(name, how):
    same(form(name, how))


@pytest.mark.parametrize("name", [name for name in FORMS if name != "as_strided"])
def test_form_with_earlier_views(name):
    """PyTorch loses views that reach beyond the new form: of `as_strided_` it has no answer."""
    same(form(name, with_earlier_views))


@program
def a_leaf_is_refused(m):
    leaf(m, 1.0).unsqueeze_(0)


@program
def a_view_of_a_leaf_is_refused(m):
    leaf(m, 1.0, 2.0)[1:].unsqueeze_(0)


@program
def a_leaf_without_grad_mode(m):
    x = leaf(m, 1.0, 2.0)
    with m.no_grad():
        x.unsqueeze_(0)
    (x * x).sum().backward()
    return x, x.is_leaf, x.grad


@program
def a_leaf_that_is_trained_afterwards(m):
    x = leaf(m, 1.0, 2.0)
    with m.no_grad():
        x.mul_(2)
        x.unsqueeze_(0)
        x.mul_(2)
    (x * x).sum().backward()
    return x, x.is_leaf, x.grad


@program
def a_kept_result_is_changed(m):
    y = leaf(m, 1.0, 2.0).exp()
    y.unsqueeze_(0)
    y.sum().backward()


@program
def forms_one_after_another(m):
    x = leaf(m, 1.0, 2.0)
    y = x * 1
    v = y[1:]
    y.unsqueeze_(0).unsqueeze_(-1).squeeze_(0).t_()
    w = y[0]
    v.mul_(3)
    w.add_(v.clone())
    (y * y).sum().backward()
    return y, v, w, x.grad


@program
def detached_after_a_form(m):
    y = leaf(m, 1.0, 2.0) * 2
    keep = y[1:]
    y.unsqueeze_(0).detach_()
    return y, y.requires_grad, keep


# ---- sizes ----


@program
def resize_to_less(m):
    x = m.arange(6.0)
    memory = x.data_ptr()
    y = x.resize_(2, 2)
    y[0] = 9
    z = x.clone()
    return y is x, z, x.resize_(6), x.data_ptr() == memory, x.stride()


@program
def resize_to_more(m):
    x = m.arange(4.0)
    x.resize_(3, 4)
    return x.shape, x.stride(), x[0], x.numel()


@program
def resize_of_a_part(m):
    x = m.arange(6.0)
    y = x[1:3].resize_(4)
    y[-1] = 7
    return y, x, y.storage_offset()


@program
def resize_of_a_part_beyond_the_memory(m):
    x = m.arange(6.0)
    y = x[4:].resize_(2, 3)
    return y[0, :2], y.storage_offset(), y.shape, x


@program
def resize_of_a_transpose(m):
    x = m.arange(6.0).view(2, 3).t()
    return x.resize_(2, 2), x.stride()


@program
def resize_to_the_same_sizes(m):
    x = m.arange(6.0).view(2, 3).t()
    return x.resize_((3, 2)), x.stride()


@program
def resize_to_nothing_and_back(m):
    x = m.arange(6.0)
    x.resize_(0)
    return x.clone(), x.resize_([2, 3])


@program
def resize_of_nothing(m):
    return m.zeros(0).resize_(2, 3).shape


@program
def resize_like_another(m):
    return m.arange(6.0).resize_as_(m.ones(2, 2))


@program
def resize_in_another_order(m):
    x = m.arange(24.0).resize_(1, 3, 2, 2, memory_format=m.channels_last)
    return x, x.stride()


@program
def resize_of_a_leaf(m):
    leaf(m, 1.0).resize_(2)


@program
def resize_of_a_result(m):
    with m.no_grad():
        (leaf(m, 1.0) * 2).resize_(2)
    (leaf(m, 1.0) * 2).resize_(2)


@program
def resize_to_a_negative_size(m):
    m.ones(2).resize_(-1)


@program
def resize_to_no_size(m):
    m.ones(2).resize_()


@pytest.mark.parametrize("name", program)
def test_program(name):
    same(program[name])
