"""Counter-based randomness: Philox4x64-10 addressed by (seed, stream, offset).

Holds generators, which hand out keys, and pure functions that turn a key into an array. The same
key gives the same values again, on every device, in every chunking, in any order of calls, so a
dropout mask can be recomputed instead of stored. The words themselves are in core/philox.py.
"""

import math
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy

from core.backend import Device
from core.philox import Key, multiply_wide, words

Array = Any
Shape = int | tuple[int, ...]

# What an unseeded Generator() starts from; the process-wide one starts from a random seed.
DEFAULT_SEED = 67280421310721

_MASK = 2**64 - 1
# 512 KiB of words stay in the cache: a float32 costs 2.3 ns instead of 3.5 in one pass.
_CHUNK = 2**16


def bits(key: Key, n: int, xp: Any = numpy) -> Array:
    """The first `n` random 64-bit words of a key.

    Shape: -> (n,).
    Dtype: uint64.
    Example:
        >>> bits(Key(seed=1, stream=0, offset=5), 2)
        array([ 4488472366359834873, 15351335896698389737], dtype=uint64)
    """
    return words(key, -(-n // 4), 0, 0, xp)[:n]


# ---- distributions: pure functions of a key ----


def _draw(
    key: Key, shape: Shape, lane: Any, dtype: Any, convert: Any, xp: Any, first: int = 0
) -> Array:
    """convert(lanes), a lane per element from number `first` on, computed in cache-sized chunks."""
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    n = math.prod(shape)
    values = xp.empty(n, dtype)
    per_word = 8 // numpy.dtype(lane).itemsize
    step = _CHUNK * per_word if xp is numpy else max(n, 1)
    for start in range(0, n, step):
        size = min(step, n - start)
        blocks = -(-size // (4 * per_word))
        block_words = words(key, blocks, (first + start) // (4 * per_word), 0, xp)
        values[start : start + size] = convert(block_words.view(lane))[:size]
    return values.reshape(shape)


def _mantissa(dtype: Any) -> int:
    """How many random bits a value in [0, 1) of this floating dtype can hold."""
    digits = {"float64": 53, "float32": 24, "float16": 11, "bfloat16": 8}
    name = numpy.dtype(dtype).name
    if name not in digits:
        raise TypeError(f"random floats exist for {', '.join(digits)}, not for {name}")
    return digits[name]


def uniform(
    key: Key,
    shape: Shape,
    dtype: Any = numpy.float32,
    low: float = 0.0,
    high: float = 1.0,
    xp: Any = numpy,
) -> Array:
    """Values of the uniform distribution on [low, high)."""
    digits = _mantissa(dtype)
    lane, signed, work = (
        ("uint64", "int64", "float64") if digits > 24 else ("uint32", "int32", "float32")
    )
    shift = xp.dtype(lane).type(numpy.dtype(lane).itemsize * 8 - digits)
    scale = xp.dtype(work).type(2.0**-digits)

    def convert(lanes: Array) -> Array:
        # From signed integers: SIMD has that conversion, the unsigned one is 2 times slower.
        return (lanes >> shift).view(signed).astype(work) * scale

    values = _draw(key, shape, lane, dtype, convert, xp)
    if (low, high) == (0.0, 1.0):
        return values
    below = numpy.nextafter(numpy.asarray(high, values.dtype), numpy.asarray(low, values.dtype))
    values *= values.dtype.type(high - low)
    values += values.dtype.type(low)
    return xp.minimum(values, below.item()).astype(values.dtype, copy=False)


def _open_unit(lanes: Array, dtype: Any, xp: Any) -> Array:
    """Lanes as floats in (0, 1], with all their bits so that tails reach as far as they can."""
    width = 8 * lanes.dtype.itemsize
    kind = xp.dtype(dtype).type
    return lanes.astype(dtype) * kind(2.0**-width) + kind(2.0 ** -(width + 1))


def _lane(dtype: Any) -> tuple[str, str]:
    return ("uint64", "float64") if _mantissa(dtype) > 24 else ("uint32", "float32")


def normal(
    key: Key,
    shape: Shape,
    dtype: Any = numpy.float32,
    mean: float = 0.0,
    std: float = 1.0,
    xp: Any = numpy,
) -> Array:
    """Values of the normal distribution, two from each pair of lanes.

    Source: Box & Muller (1958). NumPy and CUDA may differ in the last bit of log, sin and cos.
    """
    lane, work = _lane(dtype)
    turn = xp.dtype(work).type(2 * math.pi * 2.0 ** (-8 * numpy.dtype(lane).itemsize))
    scale, shift = xp.dtype(work).type(std), xp.dtype(work).type(mean)

    def convert(lanes: Array) -> Array:
        radius = xp.sqrt(-2 * xp.log(_open_unit(lanes[0::2], work, xp))) * scale
        angle = lanes[1::2].astype(work) * turn
        pairs = xp.empty((len(radius), 2), work)
        xp.multiply(radius, xp.cos(angle), out=pairs[:, 0])
        xp.multiply(radius, xp.sin(angle), out=pairs[:, 1])
        pairs += shift
        return pairs.reshape(-1)

    return _draw(key, shape, lane, dtype, convert, xp)


def exponential(
    key: Key, shape: Shape, dtype: Any = numpy.float32, rate: float = 1.0, xp: Any = numpy
) -> Array:
    """Values of the exponential distribution with the given rate."""
    lane, work = _lane(dtype)
    scale = xp.dtype(work).type(-1.0 / rate)
    # abs: the largest lane rounds to 1, whose -log is a negative zero.
    return _draw(
        key,
        shape,
        lane,
        dtype,
        lambda lanes: xp.abs(xp.log(_open_unit(lanes, work, xp)) * scale),
        xp,
    )


def integers(
    key: Key,
    shape: Shape,
    low: int,
    high: int,
    dtype: Any = numpy.int64,
    xp: Any = numpy,
    first: int = 0,
) -> Array:
    """Whole numbers from low to high - 1, equally likely up to (high - low) / 2**64.

    Raises: ValueError if there is no whole number to choose, or more than 2**64.
    Source: the high word of a 128-bit product, Lemire (2019), without the rejection.
    """
    span = high - low
    if not 0 < span <= 2**64:
        raise ValueError(f"integers needs low < high <= low + 2**64, got low={low} and high={high}")
    start = xp.uint64(low & _MASK)

    def convert(lanes: Array) -> Array:
        picked = lanes if span == 2**64 else _scaled(lanes, span, xp)
        return (picked + start).view("int64" if low < 0 else "uint64").astype(dtype)

    return _draw(key, shape, "uint64", dtype, convert, xp, first)


def _scaled(lanes: Array, span: int, xp: Any) -> Array:
    """The high word of lanes * span."""
    if span >= 2**32:
        return multiply_wide(span, lanes, xp)[0]
    # The same with the high half of `span` zero: 2.5 times as fast.
    factor, half, low = xp.uint64(span), xp.uint64(32), xp.uint64(0xFFFFFFFF)
    below = ((lanes & low) * factor) >> half
    return ((lanes >> half) * factor + below) >> half


def _second_plane(key: Key, element: int) -> int:
    """The 32 bits that decide an element whose 16 bits did not."""
    block, lane = divmod(element, 8)
    return int(words(key, 1, block, plane=1).view("uint32")[lane])


def bernoulli(key: Key, shape: Shape, p: float, xp: Any = numpy) -> Array:
    """A mask whose elements are True with probability p, to 48 bits.

    An element takes 16 random bits; only where these equal the threshold (once in 65,536) do 32
    bits of a second plane decide, which makes a mask cost 1.25 ns per element.
    Dtype: bool.
    Raises: ValueError unless 0 <= p <= 1.
    """
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"bernoulli needs a probability between 0 and 1, got {p}")
    if p == 1.0:
        return xp.ones(shape, dtype=bool)
    threshold, rest = divmod(round(p * 2**48), 2**32)
    if threshold == 2**16:
        return xp.ones(shape, dtype=bool)
    edge = xp.uint16(threshold)
    if rest == 0:
        return _draw(key, shape, "uint16", bool, lambda lanes: lanes < edge, xp)
    lanes = _draw(key, shape, "uint16", "uint16", lambda lanes: lanes, xp)
    mask = lanes < edge
    if xp is not numpy:  # to look for ties would wait for the GPU
        count = mask.size
        decided = words(key, -(-count // 8), 0, 1, xp).view("uint32")[:count] < xp.uint32(rest)
        return mask | ((lanes == edge) & decided.reshape(mask.shape))
    ties = xp.flatnonzero(lanes == edge)
    mask.reshape(-1)[ties] = xp.asarray([_second_plane(key, i) < rest for i in ties.tolist()], bool)
    return mask


def permutation(key: Key, n: int, dtype: Any = numpy.int64, xp: Any = numpy) -> Array:
    """The numbers 0 to n - 1 in random order.

    Random words are sorted with the number in their low bits: no two are equal, so the result does
    not depend on the sorting algorithm, and sorting is 2.5 times faster than a stable argsort.
    """
    low = xp.uint64((1 << max(n - 1, 0).bit_length()) - 1)
    tagged = (bits(key, n, xp) & ~low) | xp.arange(n, dtype=xp.uint64)
    return (xp.sort(tagged) & low).astype(dtype)


# ---- generators: who hands out keys ----


class Generator:
    """A source of keys: every draw takes the next offset of its seed and stream.

    The stream tells apart draws that share a seed: logical shards, data workers, ranks.
    Example:
        >>> generator = Generator().manual_seed(7)
        >>> key = generator.reserve()
        >>> key
        Key(seed=7, stream=0, offset=0)
        >>> bool((bits(key, 3) == bits(key, 3)).all())
        True
    """

    __slots__ = ("_seed", "device", "offset", "stream")

    def __init__(self, device: Any = "cpu") -> None:
        self.device = Device(device)
        self.stream = 0
        self.manual_seed(DEFAULT_SEED)

    def manual_seed(self, seed: int) -> "Generator":
        """This generator, at the first offset of the given seed; the stream stays."""
        seed = int(seed)
        if not -(2**63) <= seed < 2**64:
            raise ValueError(f"a seed is a whole number from -2**63 to 2**64 - 1, got {seed}")
        self._seed = seed & _MASK
        self.offset = 0
        return self

    def seed(self) -> int:
        """A new seed, taken from the operating system."""
        self.manual_seed(int.from_bytes(os.urandom(8), "little"))
        return self._seed

    def initial_seed(self) -> int:
        """The seed in use."""
        return self._seed

    def reserve(self) -> Key:
        """The key of the next draw, which no later draw of this generator gets."""
        key = Key(self._seed, self.stream, self.offset)
        self.offset += 1
        return key

    def get_state(self) -> Array:
        """Seed, stream and offset as bytes.

        Shape: -> (24,).
        Dtype: uint8.
        """
        return numpy.array([self._seed, self.stream, self.offset], "<u8").view(numpy.uint8)

    def set_state(self, state: Any) -> "Generator":
        """This generator, at the place that get_state() gave."""
        state = numpy.ascontiguousarray(state)
        if state.dtype != numpy.uint8 or state.shape != (24,):
            raise ValueError(
                "a generator state is uint8 of shape (24,), "
                f"got {state.dtype.name} of shape {state.shape}"
            )
        self._seed, self.stream, self.offset = state.view("<u8").tolist()
        return self

    def clone_state(self) -> "Generator":
        """Another generator at the same place."""
        return Generator(self.device).set_state(self.get_state())

    clone = clone_state

    def __getstate__(self) -> tuple[Any, Array]:
        return self.device, self.get_state()

    def __setstate__(self, state: tuple[Any, Array]) -> None:
        self.device, place = state
        self.set_state(place)

    def __repr__(self) -> str:
        place = f"seed={self._seed}, stream={self.stream}, offset={self.offset}"
        return f"Generator(device={str(self.device)!r}, {place})"


class _Installed(threading.local):
    generator: Generator | None = None


_installed = _Installed()
_process_generator = Generator()
_process_generator.seed()


def default_generator() -> Generator:
    """The generator installed in this thread by using(), else the one of the process."""
    return _installed.generator or _process_generator


@contextmanager
def using(generator: Generator) -> Iterator[Generator]:
    """A context in which `generator` is the default of this thread."""
    before = _installed.generator
    _installed.generator = generator
    try:
        yield generator
    finally:
        _installed.generator = before


class stream:  # noqa: N801 - a context manager, which is no generator since it is in every step
    """A context in which the default generator draws from stream `index` of its seed.

    The offset goes on, and stays where draws left it; who runs several streams puts it back.
    """

    def __init__(self, index: int) -> None:
        self.index = index

    def __enter__(self) -> None:
        generator = self.generator = default_generator()
        self.before, generator.stream = generator.stream, self.index

    def __exit__(self, *_: Any) -> None:
        self.generator.stream = self.before


@contextmanager
def fork_rng(enabled: bool = True) -> Iterator[None]:
    """A context after which the default generator is where it was before."""
    generator = default_generator()
    state = generator.get_state()
    try:
        yield
    finally:
        if enabled:
            generator.set_state(state)


def manual_seed(seed: int) -> Generator:
    """The default generator, at the first offset of the given seed."""
    return default_generator().manual_seed(seed)


def seed() -> int:
    """A new seed of the default generator, taken from the operating system."""
    return default_generator().seed()


def initial_seed() -> int:
    """The seed of the default generator."""
    return default_generator().initial_seed()


def get_rng_state() -> Array:
    """The state of the default generator, as Generator.get_state()."""
    return default_generator().get_state()


def set_rng_state(state: Any) -> None:
    """Puts the default generator where get_rng_state() was."""
    default_generator().set_state(state)
