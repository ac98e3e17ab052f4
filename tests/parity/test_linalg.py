"""Products, factorisations and solutions agree with PyTorch, with first and second gradients."""

import hypothesis.strategies as st
import numpy
import pytest

import core
from tests.parity.recipes import WIDE, Array, Call, array, call, one_of, torch
from tests.parity.table import Row, hold, same_gradients, same_method, same_out, same_outcome

# ---- products ---------------------------------------------------------------------------------

MATMUL = (
    ((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 4)), ((2, 3), (3, 4)), ((5, 2, 3), (3, 4)),
    ((5, 2, 3), (3,)), ((5, 2, 3), (5, 3, 2)), ((5, 1, 2, 3), (4, 3, 2)), ((3,), (5, 3, 2)),
    ((2, 0), (0, 3)), ((0, 2), (2, 3)), ((2, 3), (2, 3)), ((), (3,)), ((0,), (0,)),
)  # fmt: skip
NUMBERS = (*WIDE, "int64", "int32")


@st.composite
def pairs(draw, shapes, dtypes=NUMBERS, mixed=True, lead=None):
    """Tensors of the given shapes and one dtype, now and then of two."""
    some = draw(one_of(*shapes))
    kind = draw(one_of(*dtypes))
    kinds = [kind] * len(some)
    if mixed and draw(st.integers(0, 11)) == 0:
        kinds[-1] = draw(one_of(*dtypes))
    args = [draw(array((k,), (s,), values=("plain",))) for k, s in zip(kinds, some, strict=True)]
    return Call(tuple(args))


SCALES = one_of({}, {"beta": 2}, {"alpha": 3}, {"beta": 0, "alpha": 2})
EINSUM = (
    ("ij,jk->ik", (2, 3), (3, 4)), ("ij,jk", (2, 3), (3, 4)),
    ("bij,bjk->bik", (5, 2, 3), (5, 3, 2)),
    ("ii->i", (3, 3)), ("ii", (3, 3)), ("ij->ji", (2, 3)), ("ij->", (2, 3)),
    ("i,j->ij", (2,), (3,)),
    ("...ij,...jk->...ik", (5, 2, 3), (3, 4)), ("b...,b...->b", (2, 3, 4), (2, 3, 4)),
    ("ij,jk,kl->il", (2, 3), (3, 4), (4, 2)), ("i,i,i->i", (3,), (3,), (3,)), ("ji", (2, 3)),
    ("bhqd,bhkd->bhqk", (2, 2, 3, 4), (2, 2, 5, 4)), ("ij,ij->ij", (2, 3), (1, 3)),
    ("ij,jk->ik", (2, 3), (4, 4)), ("ij->k", (2, 3)), ("ijk,ij", (2, 3, 4), (2, 3)),
    ("i j, j k -> i k", (2, 3), (3, 4)), ("aij,ak->ijk", (2, 3, 4), (2, 5)),
    ("ij,kj->", (2, 3), (4, 3)),
    ("ij,j->i", (2, 0), (0,)), ("...,...->...", (2, 1), (3,)), ("i->ii", (3,)), ("ij,k", (2, 3)),
)  # fmt: skip


@st.composite
def einsums(draw):
    equation, *shapes = draw(one_of(*EINSUM))
    kind = draw(one_of("float64", "float32", "int64"))
    return Call((equation, *[draw(array((kind,), (s,), values=("plain",))) for s in shapes]))


def dot_dims():
    return one_of(0, 1, 2, ([0], [0]), ([1, 0], [0, 1]), ([-1], [0]), ([0, 1], [1]))


PRODUCTS = [
    Row("matmul", pairs(MATMUL), out=True, examples=60),
    Row(
        "matmul",
        pairs(MATMUL[:8], ("float16", "bfloat16"), mixed=False),
        grad=0,
        tolerance=(2e-2, 2e-2),
    ),
    Row(
        "mm", pairs([((2, 3), (3, 4)), ((0, 2), (2, 1)), ((2, 3), (2, 3)), ((3,), (3,))]), out=True
    ),
    Row("bmm", pairs([((5, 2, 3), (5, 3, 4)), ((0, 2, 3), (0, 3, 1)), ((2, 3), (3, 2))]), out=True),
    Row("mv", pairs([((2, 3), (3,)), ((0, 2), (2,)), ((2, 3), (2,)), ((3,), (3,))]), out=True),
    Row("dot", pairs([((3,), (3,)), ((0,), (0,)), ((2,), (3,)), ((2, 2), (2,))]), out=True),
    Row("vdot", pairs([((3,), (3,)), ((0,), (0,)), ((2,), (3,))]), out=True),
    Row(
        "inner",
        pairs([((3,), (3,)), ((2, 3), (4, 3)), ((), (2,)), ((2,), (3,)), ((2, 2, 3), (3,))]),
    ),
    Row("outer", call(array(shapes=((3,), (0,), (2, 2))), array(shapes=((2,), (1,)))), out=True),
    Row("ger", call(array(shapes=((3,), (0,), (2, 2))), array(shapes=((2,), (1,))))),
    Row(
        "addmm",
        pairs([((2, 4), (2, 3), (3, 4)), ((4,), (2, 3), (3, 4)), ((3, 3), (2, 3), (3, 4))]),
        SCALES,
    ),
    Row(
        "baddbmm", pairs([((5, 2, 4), (5, 2, 3), (5, 3, 4)), ((4,), (5, 2, 3), (5, 3, 4))]), SCALES
    ),
    Row("addbmm", pairs([((2, 4), (5, 2, 3), (5, 3, 4)), ((4,), (1, 2, 3), (1, 3, 4))]), SCALES),
    Row("addmv", pairs([((2,), (2, 3), (3,)), ((1,), (2, 3), (3,)), ((3,), (2, 3), (3,))]), SCALES),
    Row(
        "addr",
        pairs([((2, 3), (2,), (3,)), ((3,), (2,), (3,)), ((2, 2), (2,), (3,))], mixed=False),
        SCALES,
    ),
    Row(
        "tensordot",
        pairs([((2, 3), (3, 2)), ((2, 3, 4), (4, 3))]).flatmap(
            lambda c: dot_dims().map(lambda d: Call((*c.args, d)))
        ),
        method=False,
    ),
    Row("einsum", einsums(), method=False, examples=120),
    Row("cross", pairs([((3,), (3,)), ((2, 3), (2, 3)), ((3, 2), (3, 2)), ((2, 2), (2, 2))])),
    Row(
        "linalg.cross",
        pairs([((2, 3), (1, 3)), ((3,), (3,)), ((3, 2), (3, 2))]),
        method=False,
        out=True,
    ),
    Row(
        "chain_matmul",
        pairs([((2, 3), (3, 4), (4, 2)), ((2, 3), (3, 4))], WIDE, False),
        method=False,
    ),
    Row(
        "linalg.multi_dot",
        pairs([((2, 3), (3, 4), (4, 2)), ((3,), (3, 4), (4,))], WIDE, False).map(
            lambda c: Call((list(c.args),))
        ),
        method=False,
    ),
]

# ---- factorisations ---------------------------------------------------------------------------

SQUARE = ((3, 3), (2, 3, 3), (1, 1), (0, 0), (2, 0, 0), (2, 3), (3,))
TALL = ((3, 3), (4, 3), (2, 3, 4), (2, 4, 2), (1, 3), (3,))


def matrices(shapes=SQUARE, dtypes=(*WIDE, "int64", "float16"), **more):
    return array(dtypes, shapes, values=("plain",), **more)


def positive(name, mode=lambda x: x):
    """A function of x @ x.T + 1, which is symmetric and positive definite."""

    def of(module):
        def function(x, *args, **kwargs):
            eye = module.eye(x.shape[-1], dtype=x.dtype)
            return operation(module)(x @ x.mT + eye, *args, **kwargs)

        return function

    def operation(module):
        return getattr(module.linalg, name)

    return of


def free_of_signs(name, pick):
    """What of a factorisation does not depend on the signs of its vectors."""

    def of(module):
        return lambda x, *args: pick(getattr(module.linalg, name)(x, *args))

    return of


SINGULAR = Array((3, 3), "float64", values="plain", low=1.0, high=1.0)
LOOSE = {"tolerance": (1e-4, 1e-4)}
SOLVED = one_of(((3, 3), (3,)), ((3, 3), (3, 2)), ((2, 3, 3), (2, 3)), ((2, 3, 3), (3, 2)),
                ((3, 3), (2, 3, 1)), ((3, 3), (2, 2)), ((2, 3), (2, 2)))  # fmt: skip


@st.composite
def systems(draw, dtypes=WIDE):
    a, b = draw(SOLVED)
    kind = draw(one_of(*dtypes))
    return Call(
        (
            draw(array((kind,), (a,), values=("plain",))),
            draw(array((kind,), (b,), values=("plain",))),
        )
    )


@st.composite
def triangular(draw):
    a = draw(one_of(((3, 3), (3, 2)), ((2, 3, 3), (2, 3, 2))))
    kind = "float64"
    args = [draw(array((kind,), (s,), values=("plain",), low=0.5)) for s in a]
    options = {"upper": draw(st.booleans()), "unitriangular": draw(st.booleans())}
    return Call(tuple(args), options)


FACTORED = [
    Row("linalg.inv", call(matrices()), method=False, out=True, **LOOSE),
    Row("inverse", call(matrices()), **LOOSE),
    Row("linalg.det", call(matrices(dtypes=(*WIDE, "int64"))), method=False, **LOOSE),
    Row("det", call(SINGULAR), grad=1, **LOOSE),
    Row("linalg.slogdet", call(matrices()), method=False, **LOOSE),
    Row("logdet", call(matrices(((3, 3), (2, 3, 3)), WIDE)), **LOOSE),
    Row("linalg.solve", systems(), method=False, **LOOSE),
    Row("linalg.solve_triangular", triangular(), method=False, **LOOSE),
    Row(
        "linalg.cholesky",
        call(matrices(((3, 3), (2, 3, 3)), WIDE)),
        method=False,
        of=positive("cholesky"),
        **LOOSE,
    ),
    Row("linalg.qr", call(matrices(TALL)), method=False, **LOOSE),
    Row(
        "linalg.qr",
        call(matrices(TALL, WIDE), one_of("complete", "r", "x")),
        method=False,
        grad=0,
        **LOOSE,
    ),
    Row("linalg.svdvals", call(matrices(TALL)), method=False, **LOOSE),
    Row(
        "linalg.svd",
        call(matrices(TALL, WIDE), False),
        method=False,
        of=free_of_signs("svd", lambda r: (r.U[..., :1] @ r.Vh[..., :1, :], r.S)),
        **LOOSE,
    ),
    Row(
        "linalg.svd",
        call(matrices(TALL, WIDE)),
        method=False,
        grad=0,
        of=free_of_signs("svd", lambda r: (abs(r.U[..., :1]), r.S, r.U @ r.U.mT)),
        **LOOSE,
    ),
    Row("linalg.eigvalsh", call(matrices(dtypes=WIDE)), method=False, **LOOSE),
    Row(
        "linalg.eigh",
        call(matrices(((3, 3), (2, 3, 3)), WIDE), one_of("L", "U")),
        method=False,
        of=free_of_signs(
            "eigh", lambda r: (r.eigenvectors[..., :1] @ r.eigenvectors[..., :1].mT, r.eigenvalues)
        ),
        **LOOSE,
    ),
    Row("linalg.pinv", call(matrices(TALL, WIDE)), method=False, **LOOSE),
    Row(
        "linalg.matrix_power",
        call(matrices(), one_of(0, 1, 2, 3, 5, -1, -2)),
        method=False,
        **LOOSE,
    ),
    Row("linalg.matrix_rank", call(matrices(TALL, WIDE)), method=False, grad=0),
    Row("linalg.matrix_rank", call(SINGULAR), method=False, grad=0),
    Row(
        "linalg.matrix_exp",
        call(matrices(SQUARE[:2], WIDE, low=-2.0, high=2.0)),
        method=False,
        **LOOSE,
    ),
    Row(
        "linalg.lstsq",
        call(
            matrices(((4, 3), (3, 3), (2, 4, 2)), WIDE), matrices(((4, 2), (3, 1), (2, 4, 3)), WIDE)
        ),
        method=False,
        of=lambda m: lambda a, b: m.linalg.lstsq(a, b)[0],
        grad=1,
        **LOOSE,
    ),
    Row(
        "linalg.cond",
        call(matrices(SQUARE[:3], WIDE), one_of(1, "fro", float("inf"), "nuc")),
        method=False,
        grad=0,
        tolerance=(1e-3, 1e-3),
    ),
    Row(
        "linalg.cond",
        call(matrices(SQUARE[:3], WIDE), one_of(None, 2, -2)),
        method=False,
        grad=1,
        tolerance=(1e-3, 1e-3),
    ),
    Row(
        "linalg.norm",
        call(matrices(TALL), one_of(None, 1, 2, -1, "fro", "nuc", float("inf"), 0, 3)),
        one_of({}, {"keepdim": True}),
        method=False,
        grad=1,
        **LOOSE,
    ),
    Row(
        "linalg.norm",
        call(
            array(WIDE, ((3, 2), (2, 3, 4))),
            one_of(None, 1, 2, float("inf")),
            one_of(0, -1, (0, 1), 4),
        ),
        method=False,
        grad=1,
        grad_values=("plain",),
        **LOOSE,
    ),
    Row(
        "linalg.vector_norm",
        call(array(WIDE, ((3, 2), (4,))), one_of(1, 2, 3, float("inf"), 0.5)),
        one_of({}, {"dim": 0}, {"dim": -1, "keepdim": True}),
        method=False,
        grad=1,
        grad_values=("plain",),
        **LOOSE,
    ),
    Row(
        "linalg.matrix_norm",
        call(matrices(TALL), one_of("fro", "nuc", 1, -1, 2, -2, 3, "x")),
        method=False,
        grad=1,
        **LOOSE,
    ),
]
ROWS = [*PRODUCTS, *FACTORED]


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_values(row):
    hold(row, same_outcome)


@pytest.mark.parametrize("row", [row for row in ROWS if row.method], ids=str)
def test_method(row):
    hold(row, same_method)


@pytest.mark.parametrize("row", [row for row in ROWS if row.out], ids=str)
def test_out(row):
    hold(row, same_out)


@pytest.mark.parametrize("row", [row for row in ROWS if row.grad], ids=str)
def test_gradients(row):
    hold(row, same_gradients)


@pytest.mark.parametrize("name", ["inv", "cholesky", "solve"])
def test_what_has_no_answer_raises_as_in_pytorch(name):
    for module in (torch, core):
        x = -module.ones(3, 3)
        args = (x, x) if name == "solve" else (x,)
        with pytest.raises(module.linalg.LinAlgError):
            getattr(module.linalg, name)(*args)


def test_factors_make_the_matrix():
    x = core.from_numpy(numpy.random.default_rng(0).standard_normal((5, 4, 3)))
    u, s, vh = core.linalg.svd(x, full_matrices=False)
    q, r = core.linalg.qr(x)
    symmetric = x.mT @ x
    values, vectors = core.linalg.eigh(symmetric)
    factor = core.linalg.cholesky(symmetric)
    for product, whole in [
        (u * s[..., None, :] @ vh, x),
        (q @ r, x),
        (vectors * values[..., None, :] @ vectors.mT, symmetric),
        (factor @ factor.mT, symmetric),
        (core.linalg.inv(symmetric) @ symmetric, core.eye(3, dtype=core.float64).expand(5, 3, 3)),
    ]:
        numpy.testing.assert_allclose(product.numpy(), whole.numpy(), 1e-9, 1e-9)
