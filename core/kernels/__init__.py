"""The same ops, faster, per device: delete this folder and every result stays.

What layers use is registered when `core.nn` is first imported: `import core` does without it.
"""

import importlib
from typing import Any

import numpy

from core.autograd.dispatch import Late, accelerates
from core.kernels import choice, heap, movement, reductions, ufuncs

Table = tuple[tuple[Any, Any], ...]


def install() -> None:
    """Register every acceleration: forwards for NumPy arrays, and forwards with their gradients."""
    heap.keep_freed_memory()
    register(ufuncs.DIRECT + reductions.DIRECT + choice.DIRECT + movement.DIRECT)
    for op, function in choice.OVER:
        op.op.over = function
    for op, function in choice.WRITERS:
        op.op.writer = function
    Late.with_layers = install_layers  # type: ignore[method-assign]


def install_layers() -> None:
    """Register the accelerations of what layers are made of, random numbers included."""
    layers = importlib.import_module("core.kernels.layers")
    register(layers.DIRECT, layers.FUSED)
    for op in layers.GATES:
        op.op.gates = True
    importlib.import_module("core.kernels.philox").install()


def register(direct: Table, fused: Table = ()) -> None:
    """Let ops take these forwards, and these forwards with their gradients, on NumPy arrays."""
    for op, function in direct:
        op.op.direct = function
    for op, function in fused:
        accelerates(op, numpy.ndarray)(function)
