"""The public names of torch.nn, optim and amp are here, with the same arguments and defaults."""

import importlib
import inspect

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is the oracle of these tests")

import core  # noqa: E402, F401

# What is left out on purpose, and why.
LEFT_OUT = {
    # Parallel layers stand in ddp, above core.
    "nn": "DataParallel SyncBatchNorm"
    # Names that PyTorch keeps only for old code.
    " Container CrossMapLRN2d NLLLoss2d"
    # New in PyTorch 2.13, for losses in chunks.
    " LinearCrossEntropyLoss LinearCrossEntropyOptions"
    # A help for authors of layers.
    " factory_kwargs",
    "nn.functional": "linear_cross_entropy"
    # Products in float8 and of ragged batches.
    " ScalingType SwizzleType grouped_mm scaled_grouped_mm scaled_mm"
    # A name for one kernel.
    " native_channel_shuffle"
    # Helps of PyTorch's own files.
    " assert_int_or_pair has_torch_function has_torch_function_unary has_torch_function_variadic",
    # Names without the underscore, which PyTorch warns of.
    "nn.init": "constant dirac eye kaiming_normal kaiming_uniform normal orthogonal sparse uniform"
    " xavier_normal xavier_uniform",
    # An old name; orders of memory that NumPy has no use for; modules without memory.
    "nn.utils": "clip_grad_norm convert_conv2d_weight_memory_format"
    " convert_conv3d_weight_memory_format fuse_linear_bn_weights skip_init",
    "nn.utils.parametrize": "transfer_parametrizations_and_params",
    "nn.utils.rnn": "PackedSequence",  # the same but for an old form, a pair as one argument
    "nn.utils.parametrizations": "",
    # Gradients are dense; optimizers in torch.func.
    "optim": "SparseAdam swap_in_optimizer_params_and_state",
    "optim.lr_scheduler": "",
    "optim.swa_utils": "",
    "amp": "",
}


def public(module):
    """The functions and classes that a module of PyTorch's shows as its own."""
    listed = getattr(module, "__all__", None)
    for name in sorted(listed or vars(module)):
        value = getattr(module, name, None)
        if name.startswith("_") or not callable(value):
            continue
        home = getattr(value, "__module__", None) or "torch"
        if listed or home.startswith(("torch.nn", "torch.optim", "torch.amp", "torch._C")):
            yield name, value


def rows():
    """Each public name that is not left out."""
    for place, left_out in LEFT_OUT.items():
        theirs = importlib.import_module(f"torch.{place}")
        for name, value in public(theirs):
            helper = value.__class__.__module__ == "typing" or name in ("Tensor", "Module")
            if name not in left_out.split() and not helper:
                yield pytest.param(place, name, id=f"{place}.{name}")


def arguments(function):
    """(name, default) of each argument; None where they are not told one by one."""
    try:
        given = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in given):
        return None
    return [
        (p.name, getattr(p.default, "__name__", repr(p.default)).replace("torch.", "core."))
        for p in given
    ]


@pytest.mark.parametrize(("place", "name"), list(rows()))
def test_a_public_name_is_here_with_the_same_arguments(place, name):
    theirs = getattr(importlib.import_module(f"torch.{place}"), name)
    ours = getattr(importlib.import_module(f"core.{place}"), name)
    expected, given = arguments(theirs), arguments(ours)
    if expected is not None and given is not None:
        assert given[: len(expected)] == expected
