"""What ops are called: as PyTorch's profiler does where PyTorch has them, else as ours."""

from __future__ import annotations

import re

from core.autograd.op import Op
from core.nn import functional
from core.tensor import Tensor

# What no label says: those of these ops depend on the node.
_NAMES = {"matrix_product": "matmul", "max_windows": "max_pool", "sum_windows": "avg_pool",
          "attention": "scaled_dot_product_attention"}  # fmt: skip
_PARTS = ("affine", "normalise", "through")  # of several things, under the label of one
# PyTorch's, although neither methods nor functions of layers.
_THEIRS = """
alias block_diag cat constant_pad_nd convolution fill index log_sigmoid searchsorted slice stack
""".split()


def name_of(op: Op) -> str:
    """What PyTorch's profiler calls an op, going by its nodes; with our name one that is ours."""
    label = op.label if isinstance(op.label, str) else getattr(op.label, "tensor", None)
    known = re.sub(r"Backwards?\d*$", "", label) if label else ""
    if known and known.lower() != op.name.replace("_", "").lower() and op.name not in _PARTS:
        return f"aten::{re.sub('(?<=[a-z])(?=[A-Z])', '_', known).lower()}"
    name = _NAMES.get(op.name, op.name)
    public = hasattr(Tensor, name) or callable(getattr(functional, name, None))
    theirs = public or name in _THEIRS or name.startswith(("linalg_", "special_"))
    return f"{'aten' if theirs or name != op.name else 'unison'}::{name}"
