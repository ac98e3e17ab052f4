"""The table of shape ops for the parity tests."""

from __future__ import annotations

import hypothesis.strategies as st

from tests.parity.recipes import (
    ALL,
    FLOATS,
    Array,
    Call,
    array,
    call,
    one,
    one_of,
    several,
)
from tests.parity.table import Row

DIM = st.integers(-4, 3)
# Of tensors with gaps in memory PyTorch's kron refuses to make a view.
PLAIN = st.builds(Array, one_of((3,), (2, 2), (), (2, 0)), one_of(*ALL), seed=st.integers(0, 99))
MATRICES = ((2, 3), (3, 2), (1, 4), (2, 0), (2, 3, 3), (4, 4), (3,), ())
LISTS = one_of((2, 3), (3, 2), (6,), (-1,), (2, -1), (), (0,), (-1, 0), (2, 2, -1), (1, 3, 1))


@st.composite
def joined(draw, dtypes=ALL):
    """Tensors whose shapes agree, or now and then do not, and a dim."""
    shape = draw(one_of((3,), (2, 3), (0, 3), (2, 1, 3), ()))
    dim = draw(st.integers(-len(shape) - 1, max(len(shape) - 1, 0)))
    parts = []
    for _ in range(draw(st.integers(1, 3))):
        size = list(shape)
        if shape and draw(st.booleans()):
            size[dim % len(shape)] = draw(st.integers(0, 3))
        if draw(st.integers(0, 9)) == 0:
            size = [0]
        parts.append(draw(array(dtypes, (tuple(size),))))
    return Call((parts, dim))


@st.composite
def permuted(draw):
    x = draw(array())
    return Call((x, draw(st.permutations(range(len(x.shape))))))


WHOLE = [
    Row("reshape", call(array(shapes=((6,), (2, 3), (0,), (), (2, 1, 3))), LISTS)),
    Row("ravel", one()),
    Row("flatten", call(array(), DIM, DIM)),
    Row(
        "unflatten", call(array(shapes=((6,), (2, 6), (0, 6))), DIM, one_of((2, 3), (-1, 2), (7,)))
    ),
    Row("squeeze", call(array(shapes=((1, 3, 1), (1,), (), (2, 1))))),
    Row("squeeze", call(array(shapes=((1, 3, 1), (1,), (), (2, 1))), DIM)),
    Row("squeeze", call(array(shapes=((1, 3, 1), (1, 1))), one_of((0, 1), (0,), (0, -2), (0, 0)))),
    Row("unsqueeze", call(array(), DIM)),
    Row("permute", permuted()),
    Row("permute", call(array(), one_of((1, 0), (0,), (), (2, 0, 1), (0, 0)))),
    Row("transpose", call(array(), DIM, DIM)),
    Row("swapaxes", call(array(), DIM, DIM)),
    Row("swapdims", call(array(), DIM, DIM)),
    Row("t", one()),
    Row("adjoint", one()),
    Row("movedim", call(array(), DIM, DIM)),
    Row("moveaxis", call(array(), one_of((0, 1), (1,)), one_of((1, 0), (-1,), (0, 0)))),
    Row("broadcast_to", call(array(), one_of((2, 3), (4, 2, 3), (3,), (-1, 3), (2, 0), (2, 4)))),
    Row("broadcast_tensors", call(array(), array()), method=False),
    Row("atleast_1d", one(), method=False),
    Row("atleast_2d", one(), method=False),
    Row("atleast_3d", one(), method=False),
    Row("atleast_2d", call(several()), method=False),
]
PARTS = [
    Row("narrow", call(array(), DIM, st.integers(-4, 4), st.integers(-1, 4))),
    Row("select", call(array(), DIM, st.integers(-4, 4))),
    Row("split", call(array(), one_of(1, 2, 5, 0, -1, (1, 2), (2, 1, 0), (3,)), DIM)),
    Row("chunk", call(array(), st.integers(0, 4), DIM)),
    Row("unbind", call(array(), DIM)),
    Row("tensor_split", call(array(), one_of(1, 2, 4, 0, (1,), (1, 2), (2, 1), (-1,), ()), DIM)),
    Row("hsplit", call(array(), one_of(1, 2, 3, (1,)))),
    Row("vsplit", call(array(), one_of(1, 2, 3, (1,)))),
    Row("dsplit", call(array(), one_of(1, 2, 3, (1,)))),
    Row("diagonal", call(array(), st.integers(-3, 3), DIM, DIM)),
    Row("diagonal", one()),
]
JOINED = [
    Row("cat", joined(), method=False, out=True, examples=60),
    Row("concat", joined(), method=False),
    Row("stack", call(several(), DIM), method=False, out=True),
    Row("stack", call(st.lists(array(), min_size=2, max_size=2), 0), method=False),
    *[
        Row(name, call(several()), method=False, out=True)
        for name in "hstack vstack dstack column_stack".split()
    ],
    Row("block_diag", call(array(shapes=MATRICES), array(shapes=MATRICES)), method=False),
]
MOVED = [
    Row("roll", call(array(), st.integers(-3, 3))),
    Row("roll", call(array(), st.integers(-3, 3), DIM)),
    Row("roll", call(array(), one_of((1, 2), (1,)), one_of((0, 1), (-1, 0), (0,), (0, 0)))),
    Row("flip", call(array(), one_of((0,), (0, 1), (-1,), (), (0, 0), (2,)))),
    Row("fliplr", one()),
    Row("flipud", one()),
    Row("rot90", call(array(), st.integers(-2, 5), one_of((0, 1), (1, 0), (-1, 0), (0, 0)))),
    Row("tile", call(array(), one_of((2,), (2, 1), (1, 2, 1), (), (0, 2)))),
    Row("repeat_interleave", call(array(), st.integers(-1, 3))),
    Row("repeat_interleave", call(array(), st.integers(0, 3), DIM)),
    Row(
        "repeat_interleave",
        call(
            array(shapes=((3,), (3, 2))),
            array(("int64", "int32"), ((3,), (1,), (2,)), low=0, high=3, values=("plain",)),
            0,
        ),
    ),
    Row("tril", call(array(), st.integers(-3, 3)), inplace=True, out=True),
    Row("triu", call(array(), st.integers(-3, 3)), inplace=True, out=True),
    Row("diag", call(array(), st.integers(-3, 3)), out=True),
    Row("diag_embed", call(array(), st.integers(-2, 2), DIM, DIM)),
    Row("diag_embed", one()),
    Row("diagflat", call(array(), st.integers(-2, 2))),
    Row("diagonal_scatter", call(array(shapes=((3, 3), (2, 3))), array(shapes=((3,), (2,))))),
    Row("trace", one(FLOATS + ("int64", "int32"))),
    Row("kron", call(PLAIN, PLAIN), out=True),
]


@st.composite
def padded(draw, mode):
    """A tensor and paddings of its last dims."""
    shape = draw(one_of((2, 3), (1, 2, 3), (2, 3, 4, 3), (2, 0), (3,), (1, 2, 3, 3, 2)))
    count = draw(st.integers(0, min(len(shape), 3)))
    low = -1 if mode == "constant" or draw(st.booleans()) else 0
    widths = tuple(draw(st.integers(low, 2)) for _ in range(2 * count))
    x = draw(array(("float32", "float64"), (shape,)))
    value = {"value": 1.5} if mode == "constant" and draw(st.booleans()) else {}
    return Call((x, widths), {"mode": mode} | value)


PADDED = [
    Row("nn.functional.pad", padded(mode), method=False, examples=40)
    for mode in ("constant", "reflect", "replicate", "circular")
]
METHODS = {
    "expand": call(array(), one_of((2, 3), (4, 2, 3), (-1, 3), (2, -1))),
    "view": call(array(shapes=((6,), (2, 3), (0,), ())), LISTS),
    "repeat": call(array(), one_of((2,), (2, 1), (1, 2, 1), (0, 2), ())),
    "unfold": call(array(), DIM, st.integers(0, 3), st.integers(0, 3)),
    "expand_as": call(array(shapes=((1, 3), (3,), ())), array(shapes=((2, 3), (4, 2, 3)))),
    "reshape_as": call(array(shapes=((6,), (2, 3))), array(shapes=((3, 2), (6,), (4,)))),
}
BY_METHOD = [Row(f"Tensor.{name}", calls, method=False) for name, calls in METHODS.items()]
SHAPES = [*WHOLE, *PARTS, *JOINED, *MOVED, *BY_METHOD]
