"""One module of PyTorch's and one of ours with the same state: how they are compared."""

import numpy
import torch

import core

TOLERANCE = {"float64": 1e-10, "float32": 1e-5}


def ours(x):
    """A tensor of ours with the contents of an array."""
    return core.tensor(x) if isinstance(x, numpy.ndarray) else x


def theirs(x):
    """A tensor of PyTorch's with the contents of an array."""
    return torch.tensor(x) if isinstance(x, numpy.ndarray) else x


def array(x):
    """The contents of a tensor of either library."""
    x = x.detach()
    return x.cpu().array if isinstance(x, core.Tensor) else x.numpy()


def assert_same(a, b, tolerance, what=""):
    """The arrays agree relative to the largest element."""
    a, b = array(a), array(b)
    assert a.shape == b.shape, f"{what}: {a.shape} and {b.shape}"
    assert a.dtype == b.dtype, f"{what}: {a.dtype} and {b.dtype}"
    if not b.size:
        return
    scale = max(float(numpy.abs(b[numpy.isfinite(b)]).max(initial=0)), 1e-3)
    numpy.testing.assert_allclose(a, b, rtol=0, atol=tolerance * scale, err_msg=what)


def leaves(x):
    """All tensors in a result, in order."""
    if isinstance(x, (core.Tensor, torch.Tensor)):
        return [x]
    if isinstance(x, dict):
        return [t for value in x.values() for t in leaves(value)]
    if isinstance(x, (tuple, list)):
        return [t for value in x for t in leaves(value)]
    return []


def copy_state(module, reference):
    """Let our module hold the state of PyTorch's."""
    state = {name: core.tensor(x.numpy()) for name, x in reference.state_dict().items()}
    module.load_state_dict(state)


def floating(x):
    """Whether the gradient of an argument is compared; targets of -1 and 1 are constants."""
    return isinstance(x, numpy.ndarray) and x.dtype.kind == "f" and bool((abs(x) != 1).any())


def run(module, convert, arrays, weights):
    """(results, gradients of the arguments) of a weighted sum of all results."""
    args = [convert(x) for x in arrays]
    for x, given in zip(args, arrays, strict=True):
        if floating(given):
            x.requires_grad_()
    results = leaves(module(*args))
    total = sum((out * convert(w)).sum() for out, w in zip(results, weights, strict=False))
    if total.requires_grad:
        total.backward()
    return results, [x.grad for x, given in zip(args, arrays, strict=True) if floating(given)]


def compare(module, reference, arrays, tolerance):
    """Results, argument gradients, parameter gradients and state afterwards agree."""
    generator = numpy.random.default_rng(7)
    shapes = [out.shape for out in leaves(reference(*[theirs(x) for x in arrays]))]
    copy_state(module, reference)
    dtype = next((x.dtype for x in arrays if x.dtype.kind == "f"), numpy.dtype("float32"))
    weights = [generator.standard_normal(tuple(s)).astype(dtype) for s in shapes]
    module.zero_grad()
    reference.zero_grad()
    ours_out, ours_g = run(module, ours, arrays, weights)
    theirs_out, theirs_g = run(reference, theirs, arrays, weights)
    for i, (a, b) in enumerate(zip(ours_out, theirs_out, strict=True)):
        assert_same(a, b, tolerance, f"result {i}")
    for i, (a, b) in enumerate(zip(ours_g, theirs_g, strict=True)):
        if b is not None:
            assert_same(a, b, tolerance, f"gradient of argument {i}")
    compare_parameters(module, reference, tolerance)
    for (name, a), b in zip(
        module.state_dict().items(), reference.state_dict().values(), strict=True
    ):
        assert_same(a, b, tolerance, f"{name} afterwards")


def compare_parameters(module, reference, tolerance):
    """The gradients of the parameters agree."""
    theirs_by_name = dict(reference.named_parameters())
    for name, a in module.named_parameters():
        b = theirs_by_name[name]
        assert (a.grad is None) == (b.grad is None), name
        if b.grad is not None:
            assert_same(a.grad, b.grad, tolerance, f"gradient of {name}")
