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
    direct = ufuncs.DIRECT + reductions.DIRECT + choice.DIRECT + movement.DIRECT
    register(direct, writers=choice.WRITERS)
    for op, function in choice.OVER:
        op.op.over = function
    Late.with_layers = install_layers  # type: ignore[method-assign]


def install_layers() -> None:
    """Register the accelerations of what layers are made of, random numbers included."""
    layers = importlib.import_module("core.kernels.layers")
    register(layers.DIRECT, layers.FUSED, layers.WRITERS)
    for op in layers.GATES:
        op.op.gates = True
    importlib.import_module("core.kernels.philox").install()


def register(direct: Table, fused: Table = (), writers: Table = ()) -> None:
    """Let ops take these forwards, also with their gradients or in place, on NumPy arrays."""
    for op, function in direct:
        op.op.direct = function
    for op, function in fused:
        accelerates(op, numpy.ndarray)(function)
    for op, function in writers:
        op.op.writer = function
