"""PyTorch's own database of ops: one sample given to both libraries, and how the outcomes differ.

`OPS` are the entries that are in scope, `SCOPE` says why the others are not. `differences(op, s)`
is what a sample shows: kind of difference to what was seen.
"""

import importlib
import itertools
import operator
import random
import types
import warnings

import numpy
import pytest

import core
from core.backend import owner
from core.nn.functional import linear_loss
from tests.parity import table

torch = pytest.importorskip("torch", reason="PyTorch is the oracle of these tests")
pytest.importorskip("expecttest", reason="PyTorch's tables import it")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    database = importlib.import_module("torch.testing._internal.common_methods_invocations")

DTYPES = "float16 bfloat16 float32 float64 int8 int16 int32 int64 uint8 bool".split()
OURS = {getattr(torch, name): getattr(core, name) for name in DTYPES}
# (relative, relative to the largest element): a sum's order is each library's own.
TOLERANCE = {
    torch.float64: (1e-7, 1e-9), torch.float32: (2e-4, 2e-5),
    torch.float16: (1e-2, 1e-2), torch.bfloat16: (5e-2, 5e-2),
}  # fmt: skip

# ---- which ops --------------------------------------------------------------------------------

SCOPE = {
    "complex tensors": """complex polar cfloat cdouble chalf view_as_complex view_as_real
        linalg.eig linalg.eigvals istft stft fft.""",
    "sparse tensors": "to_sparse sparse.",
    "windows and masked reductions, which issue 3 does not name": "signal. masked.",
    "factorisations that issue 3 does not name": """geqrf ormqr linalg.householder linalg.ldl_
        triangular_solve svd_lowrank pca_lowrank""",
    "orthogonal polynomials and Bessel functions": """special.airy special.bessel special.chebyshev
        special.hermite special.laguerre special.legendre special.modified special.scaled
        special.shifted special.spherical""",
    "compiled by PyTorch for its own GPUs": "jiterator",
    "PyTorch's own inner functions": """_ torch. slice hash_tensor native_ grid_sampler_
        max_pool2d_with_indices_backward""",
}


def out_of_scope(name):
    """Whether a name is left out; `__add__` and its like are Python's, not inner functions."""
    starts = tuple(word for words in SCOPE.values() for word in words.split())
    return name.startswith(starts) and not name.startswith("__")


OPS = [op for op in database.op_db if not out_of_scope(op.name)]

# Values are drawn, or left as the memory was: everything else about them is compared.
DRAWN = """bernoulli cauchy exponential geometric log_normal multinomial normal rand_like randint
    randint_like randn randn_like uniform empty empty_like empty_permuted empty_strided new_empty
    new_empty_strided svd_lowrank pca_lowrank resize_ resize_as_""".split()
DRAWN += ["nn.functional." + name for name in """alpha_dropout dropout dropout2d dropout3d
    feature_alpha_dropout fractional_max_pool2d fractional_max_pool3d multi_head_attention_forward
    rrelu""".split()]  # fmt: skip
# Their vectors are unique up to sign: the table says which function of them is not ambiguous.
AMBIGUOUS = "svd linalg.svd linalg.eigh".split()
# Among equal elements, any may be named: positions are not compared, nor what goes back to them.
TIES = "argsort kthvalue mode msort sort topk".split()


# ---- from one library to the other ------------------------------------------------------------


def to_core(x, memo):
    """What stands for PyTorch's `x` here: the same elements in the same places of memory.

    `memo` remembers the tensors, by identity: one tensor given twice is one tensor here too.
    """
    if isinstance(x, torch.Tensor):
        if id(x) not in memo:
            memo[id(x)] = (tensor(x), x)
        return memo[id(x)][0]
    if isinstance(x, torch.dtype):
        return OURS[x]
    if isinstance(x, (torch.memory_format, torch.layout)):
        return getattr(core, str(x).removeprefix("torch."))
    if isinstance(x, torch.device):
        return core.device(str(x))
    if isinstance(x, torch.Size):
        return core.Size(x)
    if isinstance(x, (tuple, list)):
        return type(x)(to_core(y, memo) for y in x)
    if isinstance(x, dict):
        return {name: to_core(y, memo) for name, y in x.items()}
    return setting(x)


def setting(x):
    """An argument that is no data: PyTorch's own objects as ours."""
    if isinstance(x, torch.nn.PairwiseDistance):
        return core.nn.PairwiseDistance(x.norm, x.eps, x.keepdim)
    if type(x).__name__ == "LinearCrossEntropyOptions":
        options = linear_loss.LinearCrossEntropyOptions
        return options(**{name: to_core(getattr(x, name), {}) for name in options.__annotations__})
    return x


def tensor(x):
    """A leaf with the dtype, elements, strides and offset of PyTorch's `x`."""
    x = x if not x.requires_grad else x.detach()
    storage = torch.empty(0, dtype=x.dtype).set_(x.untyped_storage())
    ours = core.from_numpy(plain(storage).copy())
    if x.dtype is torch.bfloat16:
        ours = ours.view(core.bfloat16)
    return core.as_strided(ours, tuple(x.shape), x.stride(), x.storage_offset()).detach()


def plain(x):
    """The elements of PyTorch's `x` as an array, bfloat16 as its 16 bits."""
    x = x.detach()
    return (x.view(torch.int16) if x.dtype is torch.bfloat16 else x).numpy()


def elements(x):
    """The elements of a tensor of either library, as float64 where they are not integers."""
    if isinstance(x, torch.Tensor) and x._is_zerotensor():
        x = x.clone()
    x = x.detach()
    return (x.double() if x.dtype.is_floating_point else x).numpy()


def rebound(function):
    """A function of PyTorch's table, calling ours where it calls PyTorch's."""
    names = {"torch": core, "wrapper_set_seed": lambda op, *args, **kwargs: op(*args, **kwargs)}
    return types.FunctionType(function.__code__, function.__globals__ | names)


def ours(function, name):
    """Our function of this name, or the table's own with our library in it."""
    if getattr(function, "__module__", "").startswith("torch.testing"):
        return rebound(function)
    try:
        return operator.attrgetter(name)(core)
    except AttributeError:
        return operator.attrgetter(name.rpartition(".")[2])(core.Tensor)


def leaves(x):
    """The tensors in a structure, in order."""
    if isinstance(x, (torch.Tensor, core.Tensor)):
        return [x]
    if isinstance(x, dict):
        x = list(x.values())
    return [leaf for y in x for leaf in leaves(y)] if isinstance(x, (tuple, list)) else []


# ---- how two results differ -------------------------------------------------------------------


class Found(dict):
    """Kind of difference to the first thing seen of it."""

    def note(self, kind, text):
        """Keep what was seen, unless something was before."""
        self.setdefault(kind, text)


def strides(x):
    """The strides that matter: of dimensions longer than one, if there are elements."""
    if not x.numel():
        return ()
    return tuple(s for s, n in zip(x.stride(), x.shape, strict=True) if n > 1)


def compare(found, where, a, b, *, values=OURS):
    """Note how our `b` differs from PyTorch's `a`; `values` are the dtypes whose values count."""
    if isinstance(a, torch.Tensor):
        compare_tensors(found, where, a, b, a.dtype in values)
    elif isinstance(a, (tuple, list)):
        if not isinstance(b, (tuple, list)) or len(a) != len(b):
            found.note(f"{where}:type", f"{len(a)} results, not {b}")
            return
        for x, y in zip(a, b, strict=True):
            compare(found, where, x, y, values=values)
    elif type(a) is not type(b) and not isinstance(a, (torch.dtype, torch.Size)):
        found.note(f"{where}:type", f"{type(a).__name__}, not {type(b).__name__}")
    elif values and isinstance(a, (bool, int, float)) and not numpy.isclose(a, b, equal_nan=True):
        found.note(f"{where}:value", f"{a}, not {b}")


def compare_tensors(found, where, a, b, values):
    """Note how our tensor `b` differs from PyTorch's `a`."""
    if not isinstance(b, core.Tensor):
        found.note(f"{where}:type", f"a tensor, not {type(b).__name__}")
    elif OURS[a.dtype] is not b.dtype:
        found.note(f"{where}:dtype", f"{a.dtype}, not {b.dtype}")
    elif tuple(a.shape) != tuple(b.shape):
        found.note(f"{where}:shape", f"{tuple(a.shape)}, not {tuple(b.shape)}")
    else:
        # Where PyTorch's derivative is known to be zero, ours is a zero that hangs on the graph.
        if a.requires_grad != b.requires_grad and not (where == "grad" and b.requires_grad):
            found.note(f"{where}:requires_grad", f"{a.requires_grad}")
        if "grad" not in where and strides(a) != strides(b):
            found.note(f"{where}:strides", f"{tuple(a.shape)}: {a.stride()}, not {b.stride()}")
        if values and not close(a, b):
            x, y = elements(a).ravel(), elements(b).ravel()
            found.note(f"{where}:value", f"{a.dtype} {tuple(a.shape)}: {x[:4]}, not {y[:4]}")


def close(a, b):
    """Whether the elements agree as far as the dtype goes."""
    if a.dtype not in TOLERANCE:
        return numpy.array_equal(elements(a), elements(b))
    relative, absolute = TOLERANCE[a.dtype]
    a, b = elements(a), elements(b)
    largest = numpy.abs(a[numpy.isfinite(a)]).max(initial=1)
    return numpy.allclose(b, a, relative, absolute * largest, equal_nan=True)


# ---- how two calls differ ---------------------------------------------------------------------


def outcome(function, *args, **kwargs):
    """What a call returns, or the exception it raises."""
    return table.outcome(function, args, kwargs)


def returned(found, where, a, b):
    """Whether both calls returned; noted if one alone raised."""
    if isinstance(a, Exception):
        if not isinstance(b, Exception) and "not implemented for" not in str(a):
            found.note(f"{where}:accepts", f"{type(a).__name__}: {a}")
    elif isinstance(b, Exception):
        found.note(f"{where}:raises", f"{type(b).__name__}: {b}")
    return not isinstance(a, Exception) and not isinstance(b, Exception)


def certain(op, sample):
    """The dtypes of the results whose values follow from the arguments."""
    if op.name in DRAWN or sample.kwargs.get("dropout_p"):
        return ()
    exact = sample.input.dtype is torch.float64 if isinstance(sample.input, torch.Tensor) else True
    ties = op.name in TIES and not exact and not sample.kwargs.get("stable")
    return [dtype for dtype in OURS if not (ties and dtype is torch.int64)]


def call(found, where, op, sample, theirs, own):
    """Both results of one call, and the pairs (our input, PyTorch's); None if one raised."""
    memo = {}
    args = sample.input, *sample.args
    inputs = to_core((args, sample.kwargs), memo)
    pairs = dict.fromkeys(memo[id(x)] for x in leaves((args, sample.kwargs)) if x.requires_grad)
    for x, _ in pairs:
        x.requires_grad_()
    a = outcome(theirs, *args, **sample.kwargs)
    b = outcome(own, *inputs[0], **inputs[1])
    if not returned(found, where, a, b):
        return None
    if op.name in AMBIGUOUS:
        a, b = sample.output_process_fn_grad(a), sample.output_process_fn_grad(b)
    compare(found, where, a, b, values=certain(op, sample))
    if where == "out" and not found:
        compare_memory(found, leaves(a), leaves(b), memo.values())
    return a, b, pairs


def compare_memory(found, theirs, own, pairs):
    """Note the first of our results that lies in an argument's memory where PyTorch's does not."""
    for x, y in zip(theirs, own, strict=True):
        for our_input, their_input in pairs if x.numel() else ():
            a = x.untyped_storage().data_ptr() == their_input.untyped_storage().data_ptr()
            if a != (owner(y.array) is owner(our_input.array)):
                found.note("out:memory", f"{tuple(x.shape)}: {'shared' if a else 'its own'}")


def differences(op, sample):
    """Kind of difference to what was seen, of one sample in all the forms that an op has."""
    found = Found()
    own = ours(op.op, op.name)
    results = call(found, "out", op, sample, op.op, own)
    if results and not found and torch.int64 in certain(op, sample):
        gradients(found, op, *results)
    sample = constant(sample)
    for where, method in (("method", op.method_variant), ("inplace", op.inplace_variant)):
        if isinstance(method, METHODS) and not (where == "inplace" and sample.broadcasts_input):
            call(found, where, op, constant(sample), method, calling(method.__name__))
    if op.supports_out and "out:raises" not in found:
        call(found, "out=", op, sample, writing(op.op), writing(own))
    return found


METHODS = types.MethodDescriptorType, types.WrapperDescriptorType


def constant(sample):
    """A sample with copies that need no gradient, so that they may be written into."""
    return sample.transform(lambda x: x.detach().clone() if isinstance(x, torch.Tensor) else x)


def calling(name):
    """A function that calls its first argument's method of this name."""
    return lambda x, *args, **kwargs: getattr(x, name)(*args, **kwargs)


def writing(function):
    """A function that has a call write over its own result, and returns that."""

    def write(*args, **kwargs):
        out = function(*args, **kwargs)
        again = function(*args, **kwargs, out=out)
        assert all(x is y for x, y in zip(leaves(out), leaves(again), strict=True))
        return out

    return write


# ---- gradients --------------------------------------------------------------------------------


def gradients(found, op, a, b, pairs):
    """Note how first and second gradients differ."""
    a, b = ([x for x in leaves(xs) if x.requires_grad] for xs in (a, b))
    if not a or not pairs:
        return
    inputs, theirs = map(list, zip(*pairs, strict=True))
    twice = op.supports_gradgrad and a[0].dtype is torch.float64
    weights = [random_like(x, seed).requires_grad_(twice) for seed, x in enumerate(a)]
    own = [to_core(x, {}).requires_grad_(twice) for x in weights]
    a = outcome(torch.autograd.grad, a, theirs, weights, allow_unused=True, create_graph=twice)
    b = outcome(core.autograd.grad, b, inputs, own, allow_unused=True, create_graph=twice)
    if not returned(found, "grad", a, b):
        return
    known, given = ([i for i, x in enumerate(xs) if x is not None] for xs in (a, b))
    if known != given:
        found.note("grad:none", f"of inputs {known}, not of {given}")
        return
    a, b = ([xs[i] for i in known] for xs in (a, b))
    compare(found, "grad", a, b)
    if twice and not found:
        second(found, a, b, theirs + weights, inputs + own)


def second(found, a, b, theirs, inputs):
    """Note how the gradients of the gradients `a` and `b` differ; none is as good as zero."""
    pairs = [(x, y) for x, y in zip(a, b, strict=True) if x.requires_grad]
    if not pairs:
        return
    a, b = zip(*pairs, strict=True)
    weights = [random_like(x, seed) for seed, x in enumerate(a, start=100)]
    a = outcome(torch.autograd.grad, a, theirs, weights, allow_unused=True)
    b = outcome(core.autograd.grad, b, inputs, to_core(weights, {}), allow_unused=True)
    if returned(found, "gradgrad", a, b):
        for x, y, p, q in zip(a, b, theirs, inputs, strict=True):
            x, y = torch.zeros_like(p) if x is None else x, core.zeros_like(q) if y is None else y
            compare(found, "gradgrad", x, y)


def random_like(x, seed):
    """Normal values of the shape and dtype of PyTorch's `x`."""
    values = numpy.random.default_rng(seed).standard_normal(tuple(x.shape))
    return torch.as_tensor(values, dtype=x.dtype)


# ---- the samples ------------------------------------------------------------------------------


def samples(op, dtype, most, references=False):
    """The first samples of an op in a dtype, the same in every process; or of the larger set."""
    if dtype not in op.dtypes:
        return []
    random.seed(0)
    numpy.random.seed(0)
    torch.manual_seed(0)
    grad = dtype.is_floating_point and op.supports_autograd
    # Not the entry's method: that looks up the whole stack for every sample, most of a run's time.
    draw = (references and op.reference_inputs_func) or op.sample_inputs_func
    drawn = draw(op, "cpu", dtype, grad)
    return [sample for sample in itertools.islice(drawn, most) if known(sample)]


def known(sample):
    """Whether all tensors and dtypes of a sample are of a kind that we have."""
    values = torch.utils._pytree.tree_leaves((sample.input, sample.args, sample.kwargs))
    tensors = [x for x in values if isinstance(x, torch.Tensor)]
    dtypes = [x.dtype for x in tensors] + [x for x in values if isinstance(x, torch.dtype)]
    strided = all(x.layout is torch.strided for x in tensors)
    return strided and OURS.keys() >= set(dtypes) and complex not in map(type, values)


def full_name(op):
    """The name of an entry: an op may have several."""
    return f"{op.name}.{op.variant_test_name}" if op.variant_test_name else op.name
