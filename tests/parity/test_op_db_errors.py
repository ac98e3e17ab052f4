"""Wrong input of every op in PyTorch's own database: both libraries raise the same exceptions.

What is no tensor where a tensor belongs, and the wrong input that the database lists.
"""

import itertools
import operator

import pytest

import core
from tests.parity.op_db import (
    OPS,
    calling,
    full_name,
    known,
    leaves,
    ours,
    outcome,
    samples,
    to_core,
    torch,
)

NO_TENSORS = {"int": 3, "str": "a", "None": None, "list": [1.0]}

# What is known to differ, by reason: "name/argument:given", and "name/number of the error". What no
# longer differs is to be struck off.
KNOWN = {
    "None is what the argument is by default here": """
        cumulative_trapezoid/1:None trapezoid/1:None trapz/1:None
    """,
    "a product asks no other operand, as that would cost every product": """
        __rmatmul__/1:None __rmatmul__/1:int __rmatmul__/1:list __rmatmul__/1:str
    """,
    "the method that fills a tensor has another name": """
        normal/0:None normal/0:int normal/0:list normal/0:str
    """,
}
ERRORS_KNOWN = {
    "the number of dims is looked at before the list of sizes": """
        nn.functional.adaptive_avg_pool2d/0 nn.functional.adaptive_avg_pool3d/0
        nn.functional.adaptive_max_pool2d/0 nn.functional.adaptive_max_pool3d/0
    """,
    "memory grows with what is written to it": "cat/6 cat/8",
    "a dim out of range is an IndexError": "narrow_copy/1",
}


def forms(op):
    """The function of an op and its method, each with ours and a name."""
    yield op.op, ours(op.op, op.name), op.name
    method = op.method_variant
    if type(method) is type(torch.Tensor.add) and hasattr(core.Tensor, op.name):
        yield calling(op.name), calling(op.name), f"Tensor.{op.name}"


def available(op):
    """Whether we have an op, and PyTorch's is a function, not a method of its tensors' class."""
    if type(op.op) is type(torch.Tensor.add):
        return False
    try:
        return callable(ours(op.op, op.name))
    except AttributeError:
        return False


def has_function(op):
    """Whether an op is a function of a module, not only a method or an operator."""
    try:
        return operator.attrgetter(op.name)(core) is not None
    except AttributeError:
        return False


FIRST = {op.name: op for op in reversed(OPS) if available(op)}


def replaced(sample):
    """A sample's arguments with one of its tensors replaced, and a name for what was done."""
    args = sample.input, *sample.args
    places = [i for i, x in enumerate(args) if isinstance(x, torch.Tensor)]
    names = [name for name, x in sample.kwargs.items() if isinstance(x, torch.Tensor)]
    for (kind, wrong), i in itertools.product(NO_TENSORS.items(), places):
        yield f"{i}:{kind}", (*args[:i], wrong, *args[i + 1 :]), sample.kwargs
    for (kind, wrong), name in itertools.product(NO_TENSORS.items(), names):
        yield f"{name}:{kind}", args, sample.kwargs | {name: wrong}


def same_kind(theirs, own):
    """Whether both returned, or raised alike.

    Where PyTorch's Python asks a number for what tensors have, a TypeError is as good.
    """
    if isinstance(theirs, AttributeError):
        return isinstance(own, (AttributeError, TypeError))
    if isinstance(theirs, Exception) and isinstance(own, Exception):
        return type(own) is type(theirs) or type(own).__name__ in type(theirs).__name__
    return isinstance(theirs, Exception) == isinstance(own, Exception)


def compared(theirs, own, args, kwargs):
    """What differs between two calls with these arguments; None where nothing does."""
    own_args, own_kwargs = to_core((args, kwargs), {})
    a, b = outcome(theirs, *args, **kwargs), outcome(own, *own_args, **own_kwargs)
    return None if same_kind(a, b) else f"{a!r:.120}, here {b!r:.120}"


def expected(table, name):
    """The differences of an op that are known."""
    words = [word for words in table.values() for word in words.split()]
    return {word for word in words if word.split("/")[0].removeprefix("Tensor.") == name}


def check(found, listed):
    """Fail for what differs and is not listed, and for what is listed and does not differ."""
    assert {word: text for word, text in found.items() if word not in listed} == {}
    assert listed <= found.keys(), "these differ no longer: strike them off"


@pytest.mark.parametrize("op", FIRST.values(), ids=lambda op: op.name)
def test_what_is_no_tensor(op):
    dtype = next((d for d in (torch.float32, torch.int64) if d in op.dtypes), torch.bool)
    function = has_function(op)
    found = {}
    for sample in samples(op, dtype, 2):
        for theirs, own, name in forms(op):
            for place, args, kwargs in replaced(sample):
                if (name == op.name and function) or not place.startswith("0:"):
                    text = compared(theirs, own, args, kwargs)
                    if text is not None:
                        found[f"{name}/{place}"] = text
    check(found, expected(KNOWN, op.name))


def ordinary(x):
    """Whether PyTorch's `x` is one of ours too: of few dims, in the CPU's memory, and whole."""
    whole = x.storage_offset() == 0 and x.untyped_storage().nbytes() >= x.nbytes
    return x.device.type == "cpu" and x.dim() <= 64 and whole


LISTED = [op for op in OPS if op.error_inputs_func and available(op) and has_function(op)]


@pytest.mark.parametrize("op", LISTED, ids=full_name)
def test_error_inputs(op):
    found = {}
    for n, error in enumerate(itertools.islice(op.error_inputs_func(op, "cpu"), 200)):
        sample = error.sample_input
        args = sample.input, *sample.args
        if known(sample) and all(map(ordinary, leaves((args, sample.kwargs)))):
            text = compared(op.op, ours(op.op, op.name), args, sample.kwargs)
            if text is not None:
                found[f"{full_name(op)}/{n}"] = f"{sample.summary()}: {text}"
    check(found, expected(ERRORS_KNOWN, full_name(op)))
