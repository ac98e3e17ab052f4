"""Philox4x64-10: the random words that a key (seed, stream, offset) stands for.

Holds the definition in plain array code and the same words from NumPy's C code; what is made of the
words is in core/random.py. Why this generator: docs/decisions/0004-philox.md.
"""

import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy

Array = Any

_MASK = 2**64 - 1
_ROUNDS = 10
_MULTIPLIERS = (0xD2E7470EE14C6C93, 0xCA5A826395121157)
_WEYL = (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B)


class Key(NamedTuple):
    """The address of one draw; equal keys give equal values."""

    seed: int
    stream: int
    offset: int


def multiply_wide(a: int, b: Array, xp: Any) -> tuple[Array, Array]:
    """High and low 64 bits of a * b, by 32-bit parts since no array type has 128 bits."""
    half, low = xp.uint64(32), xp.uint64(0xFFFFFFFF)
    a_high, a_low = xp.uint64(a >> 32), xp.uint64(a & 0xFFFFFFFF)
    b_high, b_low = b >> half, b & low
    middle = a_high * b_low + ((a_low * b_low) >> half)
    cross = a_low * b_high + (middle & low)
    return a_high * b_high + (middle >> half) + (cross >> half), xp.uint64(a) * b


def philox(counter: Array, key: tuple[int, int], xp: Any = numpy) -> Array:
    """The Philox4x64-10 words of every counter, in plain array code.

    Shape: (n, 4) -> (n, 4).
    Dtype: uint64.
    Source: Salmon, Moraes, Dror & Shaw (2011), Parallel random numbers: as easy as 1, 2, 3.
    """
    c0, c1, c2, c3 = (counter[:, i] for i in range(4))
    k0, k1 = key
    for _ in range(_ROUNDS):
        high0, low0 = multiply_wide(_MULTIPLIERS[0], c0, xp)
        high1, low1 = multiply_wide(_MULTIPLIERS[1], c2, xp)
        c0, c1, c2, c3 = high1 ^ c1 ^ xp.uint64(k0), low1, high0 ^ c3 ^ xp.uint64(k1), low0
        k0, k1 = (k0 + _WEYL[0]) & _MASK, (k1 + _WEYL[1]) & _MASK
    return xp.stack([c0, c1, c2, c3], axis=1)


def array_words(key: Key, blocks: int, first: int, plane: int, xp: Any = numpy) -> Array:
    """The words of `blocks` counter blocks from block `first`, computed by the definition.

    Block numbers begin at 1 because NumPy increments its counter before it generates.
    Shape: -> (4 * blocks,).
    """
    counter = xp.empty((blocks, 4), dtype=xp.uint64)
    counter[:, 0] = xp.arange(first + 1, first + 1 + blocks, dtype=xp.uint64)
    for column, word in enumerate((key.offset, key.stream, plane), start=1):
        counter[:, column] = xp.uint64(word)
    return philox(counter, (key.seed, 0), xp).reshape(-1)


class _Engine(threading.local):
    """NumPy's C generator, aimed at a key in 1 us where a new one takes 7 us."""

    philox: Any = None  # made at the first draw: NumPy imports its generators when asked, in 20 ms
    key: Array
    counter: Array
    state: Any

    def start(self) -> None:
        self.philox = numpy.random.Philox(key=0)
        self.key = numpy.zeros(2, numpy.uint64)
        self.counter = numpy.zeros(4, numpy.uint64)
        self.state = self.philox.state
        self.state["state"] = {"counter": self.counter, "key": self.key}

    def words(self, key: Key, blocks: int, first: int, plane: int) -> Array:
        if self.philox is None:
            self.start()
        counter = self.counter
        self.key[0] = key.seed
        counter[0], counter[1], counter[2], counter[3] = first, key.offset, key.stream, plane
        self.philox.state = self.state
        return self.philox.random_raw(4 * blocks)


_engine = _Engine()
_sources: dict[str, Callable[[Key, int, int, int], Array]] = {}


def accelerate(module: str, source: Callable[[Key, int, int, int], Array]) -> None:
    """Makes source(key, blocks, first, plane) the words of array module `module` ("cupy")."""
    _sources[module] = source


def words(key: Key, blocks: int, first: int = 0, plane: int = 0, xp: Any = numpy) -> Array:
    """The words of `blocks` counter blocks from block `first`, the fastest way this array type has.

    A plane is a second set of words under the same key.
    Shape: -> (4 * blocks,).
    """
    if xp is numpy:
        return _engine.words(key, blocks, first, plane)
    source = _sources.get(xp.__name__)
    return (
        source(key, blocks, first, plane) if source else array_words(key, blocks, first, plane, xp)
    )
