"""New tensors of random numbers, and random numbers written into tensors."""

from __future__ import annotations

import math
from typing import Any

import numpy

from core import random
from core.autograd.dispatch import primitive
from core.autograd.inplace import forbid_leaf, write_out
from core.autograd.overlap import forbid_overlap
from core.autograd.place import where_it_lies
from core.autograd.value import Value, called, version_of, wrap
from core.backend import device_of, module_of, on, resolve, write, xp
from core.dtype import FLOAT, get_default_dtype, of, to_numpy
from core.ops.cast import detach
from core.ops.choice import no_slope
from core.ops.creation import check_options, checked, given, like
from core.ops.dims import flat

__all__ = """
rand randn randint randperm rand_like randn_like randint_like normal bernoulli multinomial poisson
""".split()

# ---- new tensors ------------------------------------------------------------------------------


def _key(generator: Any) -> Any:
    return (generator or random.default_generator()).reserve()


def _drawn(draw: Any, size: Any, options: dict[str, Any], want: Any) -> Any:
    where = resolve(options.get("device"))
    shape = checked(flat(size or (options["size"],)))
    with on(where):
        array = draw(_key(options.get("generator")), shape, want, module_of(where))
    return given(array, options.get("out"), options.get("requires_grad", False))


def _floating(name: str, options: dict[str, Any]) -> Any:
    check_options(name, options)
    d = of(to_numpy(options.get("dtype")) or get_default_dtype().numpy)
    if d.category != FLOAT:
        raise NotImplementedError(f'"{name}" not implemented for {d.name!r}')
    return d.numpy


def _uniform(key: Any, shape: Any, d: Any, module: Any) -> Any:
    return random.uniform(key, shape, dtype=d, xp=module)


def _normal(key: Any, shape: Any, d: Any, module: Any) -> Any:
    return random.normal(key, shape, dtype=d, xp=module)


def rand(*size: Any, **options: Any) -> Any:
    """Uniform random numbers from [0, 1)."""
    return _drawn(_uniform, size, options, _floating("rand", options))


def randn(*size: Any, **options: Any) -> Any:
    """Normal random numbers of mean 0 and variance 1."""
    return _drawn(_normal, size, options, _floating("randn", options))


def randint(low: int, high: Any = None, size: Any = None, **options: Any) -> Any:
    """Random whole numbers from `low` (0 if only one bound is given) up to, without, `high`.

    Raises: RuntimeError where there is no number to choose.
    """
    check_options("randint", options)
    if size is None and high is not None and not isinstance(high, int):
        low, high, size = 0, low, high
    elif high is None:
        low, high = 0, low
    if size is None:
        raise TypeError("randint() received an invalid combination of arguments: size is missing")
    want = to_numpy(options.get("dtype")) or numpy.dtype("int64")
    _check_span(low, high)
    return _drawn(
        lambda key, shape, d, module: random.integers(key, shape, low, high, d, module),
        (size,),
        options,
        want,
    )


def _check_span(low: int, high: int) -> None:
    if high <= low:
        raise RuntimeError(
            f"random_ expects 'from' to be less than 'to', but got from={low} >= to={high}"
        )


def randint_like(input: Any, low: int, high: Any = None, **options: Any) -> Any:
    """Random whole numbers in the shape, dtype and on the device of `input`."""
    low, high = (0, low) if high is None else (low, high)
    options = {"dtype": of(input.array.dtype), "device": device_of(input.array)} | options
    options.pop("memory_format", None)
    return randint(low, high, input.array.shape, **options)


def randperm(n: int, **options: Any) -> Any:
    """The numbers 0 to n - 1 in random order.

    Raises: RuntimeError for a negative number.
    """
    check_options("randperm", options)
    if n < 0:
        raise RuntimeError(f"n must be non-negative, got {n}")
    want = to_numpy(options.get("dtype")) or numpy.dtype("int64")
    return _drawn(
        lambda key, shape, d, module: random.permutation(key, n, d, module), (n,), options, want
    )


rand_like, randn_like = like(rand), like(randn)


@primitive
def _drawn_from(found, *xs):
    """The random numbers `found`, in the graph of what they were drawn from: no gradient flows."""
    return found


_drawn_from.defvjp(found=None, xs=lambda g: no_slope(g))


@where_it_lies
def normal(
    mean: Any, std: Any = 1.0, size: Any = None, *, generator: Any = None, **options: Any
) -> Any:
    """Normal random numbers, with numbers or tensors (broadcast) as mean and standard deviation.

    Raises: RuntimeError for a negative standard deviation.
    """
    given_ = [x for x in (mean, std) if isinstance(x, Value)]
    lowest = std.array.min() if isinstance(std, Value) and std.array.size else std
    if not isinstance(lowest, Value) and float(lowest) < 0:
        raise RuntimeError(f"normal expects std >= 0.0, but found std {float(lowest)}")
    if not given_:
        if size is None:
            raise TypeError("normal() needs a tensor as mean or std, or a size")
        out = options.pop("out", None)
        found = randn(size, generator=generator, **options) * std + mean
        return found if out is None else write_out(found, out)
    arrays = [x.array for x in given_]
    shape = xp(arrays[0]).broadcast_shapes(*(x.shape for x in arrays))
    d, where = of(arrays[0].dtype), device_of(arrays[0])
    noise = randn(shape, dtype=d, device=where, generator=generator)
    values = [detach(x) if isinstance(x, Value) else x for x in (mean, std)]
    found = noise * values[1] + values[0]
    which = 3 if len(given_) == 2 else 1 if given_[0] is mean else 2
    found = called(_drawn_from(found, *given_), f"NormalBackward{which}")
    out = options.get("out")
    return found if out is None else write_out(found, out)


@where_it_lies
def bernoulli(input: Any, p: Any = None, *, generator: Any = None, out: Any = None) -> Any:
    """Zeros and ones in the shape of `input`: ones with its elements, or `p`, as probabilities.

    Raises: RuntimeError for a probability outside of 0 to 1, or integers.
    """
    array = input.array
    if p is None and of(array.dtype).category != FLOAT:
        raise NotImplementedError(
            f'"bernoulli" not implemented for {of(array.dtype).name!r}: it reads probabilities'
        )
    _check_probability(array if p is None else numpy.asarray(p))
    flips = _flips(array, array.shape, generator, None if p is None else float(p))
    found = called(_drawn_from(wrap(flips.astype(array.dtype)), input), "BernoulliBackward0")
    return found if out is None else write_out(found, out)


def _check_probability(p: Any) -> None:
    if p.size and isinstance(p, numpy.ndarray) and not ((p >= 0) & (p <= 1)).all():
        raise RuntimeError("Expected p_in >= 0 && p_in <= 1 to be true, but got false.")


def _flips(like_: Any, shape: Any, generator: Any, p: float | None = None) -> Any:
    """True where a coin fell so: with probability p, or each element of an array its own."""
    key = _key(generator)
    with on(device_of(like_)):
        if p is not None:
            return random.bernoulli(key, shape, p, xp(like_))
        wide = numpy.dtype("float64")
        drawn = random.uniform(key, shape, dtype=wide, xp=xp(like_))
        return xp(like_).asarray(drawn < like_.astype(wide))


@where_it_lies
def multinomial(
    input: Any,
    num_samples: int,
    replacement: bool = False,
    *,
    generator: Any = None,
    out: Any = None,
) -> Any:
    """Indices drawn with the elements of each row as weights.

    Raises: RuntimeError for weights that are negative, not finite, all zero or too few.
    """
    weights = input.array
    _check_weights(weights, num_samples, replacement)
    module, wide = xp(weights), numpy.dtype("float64")
    rows = weights.astype(wide).reshape(-1, weights.shape[-1])
    key = _key(generator)
    with on(device_of(weights)):
        if replacement:
            found = _with_replacement(rows, num_samples, key, module)
        else:
            # The smallest of exponential times, each divided by its weight, come first.
            times = random.exponential(key, rows.shape, dtype=wide, xp=module)
            order = (times / rows).argsort(1, kind="stable")
            found = order[:, :num_samples]
    found = wrap(module.ascontiguousarray(found.reshape(*weights.shape[:-1], num_samples)))
    return found if out is None else write_out(found, out, exact=True)


def _check_weights(weights: Any, count: int, replacement: bool) -> None:
    if of(weights.dtype).category != FLOAT:
        raise RuntimeError(
            "multinomial only supports floating-point dtypes for input, got:"
            f" {of(weights.dtype).name}"
        )
    if weights.ndim not in (1, 2):
        raise RuntimeError("prob_dist must be 1 or 2 dim")
    if count <= 0:
        raise RuntimeError("cannot sample n_sample <= 0 samples")
    if not replacement and count > weights.shape[-1]:
        raise RuntimeError(
            "cannot sample n_sample > prob_dist.size(-1) samples without replacement"
        )
    if not bool(((weights >= 0) & (weights < math.inf)).all()):
        raise RuntimeError("probability tensor contains either `inf`, `nan` or element < 0")
    if not bool((weights.sum(-1) > 0).all()):
        raise RuntimeError("invalid multinomial distribution (sum of probabilities <= 0)")


def _with_replacement(rows: Any, count: int, key: Any, module: Any) -> Any:
    """Where uniform numbers fall among the running sums of each row."""
    sums = rows.cumsum(1)
    drawn = random.uniform(key, (rows.shape[0], count), dtype=rows.dtype, xp=module)
    found = [module.searchsorted(line, u * line[-1], side="right") for line, u in zip(sums, drawn)]
    return module.stack(found)


@where_it_lies
def poisson(input: Any, generator: Any = None) -> Any:
    """Poisson random numbers with the elements of `input` as rates.

    The count is how many products of uniform numbers stay above exp(-rate), in float64.
    Raises: RuntimeError for negative rates.
    """
    rate = input.array.astype(numpy.dtype("float64"))
    module = xp(rate)
    if not bool((rate >= 0).all()):
        raise RuntimeError("invalid Poisson rate, expected rate to be non-negative")
    left, count = rate.copy(), module.zeros(rate.shape)
    while bool((left > 0).any()):
        with on(device_of(rate)):
            left = left - random.exponential(
                _key(generator), rate.shape, dtype=rate.dtype, xp=module
            )
        count += left > 0
    return wrap(count.astype(input.array.dtype))


# ---- written into tensors ---------------------------------------------------------------------


def _write(x: Any, array: Any) -> Any:
    forbid_leaf(x)
    forbid_overlap(x.array)
    write(x.array, array)
    version_of(x)[0] += 1
    if x.base is None:
        x.node, x.needs_grad = None, False
    return x


def _fresh(x: Any, draw: Any, generator: Any, **how: Any) -> Any:
    d = of(x.array.dtype)
    if d.category != FLOAT:
        raise NotImplementedError(f'"{draw.__name__}_" not implemented for {d.name!r}')
    with on(device_of(x.array)):
        key = _key(generator)
        return draw(key, x.array.shape, dtype=x.array.dtype, xp=xp(x.array), **how)


def uniform_(
    x: Any, from_: float = 0.0, to: float = 1.0, *, generator: Any = None, **named: Any
) -> Any:
    """The tensor, filled with uniform random numbers from [from, to)."""
    low = named.get("from", from_)
    if low > to:
        raise RuntimeError(
            f"uniform_ expects to return a [from, to) range, but found from={low} > to={to}"
        )
    return _write(x, _fresh(x, random.uniform, generator, low=low, high=to))


def normal_(x: Any, mean: float = 0.0, std: float = 1.0, *, generator: Any = None) -> Any:
    """The tensor, filled with normal random numbers."""
    if std < 0:
        raise RuntimeError(f"normal expects std >= 0.0, but found std {std}")
    return _write(x, _fresh(x, random.normal, generator, mean=mean, std=std))


def exponential_(x: Any, lambd: float = 1.0, *, generator: Any = None) -> Any:
    """The tensor, filled with exponential random numbers of a rate."""
    if lambd <= 0:
        raise RuntimeError(f"exponential_ expects lambda > 0.0, but found lambda={lambd}")
    return _write(x, _fresh(x, random.exponential, generator, rate=lambd))


@where_it_lies
def bernoulli_(x: Any, p: Any = 0.5, *, generator: Any = None) -> Any:
    """The tensor, filled with zeros and ones: ones with probability `p`."""
    if isinstance(p, Value):
        flips = _flips(xp(x.array).broadcast_to(p.array, x.array.shape), x.array.shape, generator)
    else:
        _check_probability(numpy.asarray(p))
        flips = _flips(x.array, x.array.shape, generator, float(p))
    return _write(x, flips)


_DIGITS = {"float16": 11, "bfloat16": 8, "float32": 24, "float64": 53}


def random_(
    x: Any, from_: Any = None, to: Any = None, *, generator: Any = None, **named: Any
) -> Any:
    """The tensor, filled with whole numbers from [from, to), or all its dtype holds exactly."""
    low = named.get("from", from_)
    if to is None and low is not None and "from" not in named:
        low, to = 0, low
    d = of(x.array.dtype)
    if to is None:
        most = 2 ** _DIGITS[d.name] + 1 if d.category == FLOAT else 2
        to = most if d.name == "bool" or d.category == FLOAT else numpy.iinfo(d.numpy).max + 1
    low = 0 if low is None else low
    _check_span(low, to)
    with on(device_of(x.array)):
        drawn = random.integers(
            _key(generator), x.array.shape, low, to, numpy.dtype("int64"), xp(x.array)
        )
    return _write(x, drawn)


def _shares(x: Any, generator: Any) -> Any:
    """Uniform random numbers from [0, 1) in float64, as many as `x` has elements."""
    with on(device_of(x.array)):
        wide = numpy.dtype("float64")
        return random.uniform(_key(generator), x.array.shape, dtype=wide, xp=xp(x.array))


def cauchy_(x: Any, median: float = 0.0, sigma: float = 1.0, *, generator: Any = None) -> Any:
    """The tensor, filled with random numbers of a Cauchy distribution."""
    if of(x.array.dtype).category != FLOAT:
        raise RuntimeError("Cauchy distribution is a continuous probability distribution")
    if sigma <= 0:
        raise RuntimeError(f"cauchy_ expects sigma > 0.0, but found sigma={sigma}")
    turns = _shares(x, generator) - 0.5
    return _write(x, median + sigma * xp(x.array).tan(math.pi * turns))


def log_normal_(x: Any, mean: float = 1.0, std: float = 2.0, *, generator: Any = None) -> Any:
    """The tensor, filled with numbers whose logarithms are normal with this mean and deviation."""
    if std <= 0:
        raise RuntimeError(f"log_normal_ expects std > 0.0, but found std={std}")
    drawn = _fresh(x, random.normal, generator, mean=mean, std=std)
    return _write(x, xp(x.array).exp(drawn))


def geometric_(x: Any, p: float, *, generator: Any = None) -> Any:
    """The tensor, filled with how many trials it takes until one of probability `p` succeeds."""
    if not 0 < p < 1:
        raise RuntimeError(f"geometric_ expects p to be in (0, 1), but got p={p}")
    if x.array.dtype == bool:
        raise NotImplementedError("\"geometric_\" not implemented for 'Bool'")
    drawn = xp(x.array).log1p(-_shares(x, generator)) / math.log1p(-p)
    return _write(x, xp(x.array).maximum(xp(x.array).ceil(drawn), 1))
