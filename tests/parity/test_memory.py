"""The order in which results lie in memory is PyTorch's."""

import numpy
import pytest

torch = pytest.importorskip("torch", reason="the oracle: pip install unison-ddp[parity]")

import core  # noqa: E402 - after the skip
from tests.parity.programs import same  # noqa: E402 - it skips too

# ---- factorisations: column by column ---------------------------------------------------------


def matrix(m, *shape, seed=0):
    return m.from_numpy(numpy.random.default_rng(seed).standard_normal(shape))


def definite(m, *shape):
    x = matrix(m, *shape)
    return x @ x.mT + m.eye(shape[-1], dtype=m.float64)


ORDERS = {
    "inv": lambda m, x: m.linalg.inv(x[..., :3, :]),
    "inv_of_a_transpose": lambda m, x: m.linalg.inv(x[..., :3, :].mT),
    "matrix_power": lambda m, x: m.linalg.matrix_power(x[..., :3, :], -1),
    "cholesky": lambda m, x: m.linalg.cholesky(definite(m, *x.shape[:-2], 3, 3)),
    "upper_cholesky": lambda m, x: m.linalg.cholesky(definite(m, 3, 3), upper=True),
    "cholesky_inverse": lambda m, x: m.cholesky_inverse(m.linalg.cholesky(definite(m, 3, 3))),
    "cholesky_solve": lambda m, x: m.cholesky_solve(x, definite(m, *x.shape[:-1], x.shape[-2])),
    "qr": lambda m, x: m.linalg.qr(x),
    "qr_of_wide": lambda m, x: m.linalg.qr(x.mT),
    "complete_qr": lambda m, x: m.linalg.qr(x, "complete"),
    "r": lambda m, x: m.linalg.qr(x, "r"),
    "svd": lambda m, x: m.linalg.svd(x),
    "svd_of_wide": lambda m, x: m.linalg.svd(x.mT, False),
    "old_svd": lambda m, x: m.svd(x),
    "eigh": lambda m, x: m.linalg.eigh(x[..., :3, :]),
    "pinv": lambda m, x: m.linalg.pinv(x),
    "solve": lambda m, x: m.linalg.solve(x[..., :3, :], matrix(m, 3, 2)),
    "solve_a_vector": lambda m, x: m.linalg.solve(matrix(m, 3, 3), matrix(m, 3)),
    "solve_from_the_right": lambda m, x: m.linalg.solve(
        x[..., :3, :], matrix(m, *x.shape[:-2], 2, 3), left=False
    ),
    "solve_triangular": lambda m, x: m.linalg.solve_triangular(
        x[..., :3, :], matrix(m, 3, 2), upper=True
    ),
    "solve_triangular_from_the_right": lambda m, x: m.linalg.solve_triangular(
        x[..., :3, :], matrix(m, 2, 3), upper=True, left=False
    ),
    "nothing": lambda m, x: m.linalg.inv(m.zeros(2, 0, 0)),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("batch", [(), (2,)], ids=str)
@pytest.mark.parametrize("name", ORDERS)
def test_results_lie_in_memory_as_those_of_pytorch(name, batch):
    strides = []
    for m in (core, torch):
        found = ORDERS[name](m, matrix(m, *batch, 4, 3))
        parts = found if isinstance(found, tuple) else (found,)
        strides.append([(tuple(x.shape), x.stride()) for x in parts])
    assert strides[0] == strides[1]


# ---- memory formats ---------------------------------------------------------------------------

FORMATS = {
    "contiguous": lambda m, x: x.contiguous(memory_format=m.channels_last),
    "volume": lambda m, x: x[:, None].contiguous(memory_format=m.channels_last_3d),
    "back": lambda m, x: x.contiguous(memory_format=m.channels_last).contiguous(),
    "clone": lambda m, x: x.clone(memory_format=m.channels_last),
    "clone_as_it_is": lambda m, x: x.mT.clone(memory_format=m.preserve_format),
    "clone_in_rows": lambda m, x: x.mT.clone(memory_format=m.contiguous_format),
    "to": lambda m, x: x.to(m.float64, memory_format=m.channels_last),
    "double": lambda m, x: x.mT.double(memory_format=m.contiguous_format),
    "like": lambda m, x: m.zeros_like(x, memory_format=m.channels_last),
    "like_in_rows": lambda m, x: m.ones_like(x.mT, memory_format=m.contiguous_format),
    "of_another_rank": lambda m, x: x[0].contiguous(memory_format=m.channels_last),
    "batch_of_one": lambda m, x: m.cat([x.clone(memory_format=m.channels_last)] * 2),
    "ravel_of_rows": lambda m, x: x[:, :, ::2].ravel(),
    "ravel_of_a_part": lambda m, x: x[0, 0, 0, ::2].ravel(),
    "nonzero": lambda m, x: x.nonzero(),
    "where": lambda m, x: m.where(x),
    "flip": lambda m, x: x.mT.flip(0),
    "empty": lambda m, x: x[:0] * 2,
    "empty_and_transposed": lambda m, x: x[:, :, :0].mT.exp(),
}


@pytest.mark.parametrize("name", FORMATS)
def test_memory_formats(name):
    def program(m):
        found = FORMATS[name](m, m.arange(24.0).view(2, 3, 2, 2))
        parts = found if isinstance(found, tuple) else (found,)
        return [(x, x.stride()) for x in parts]

    same(program)


def test_what_lies_in_a_format_is_not_copied():
    x = core.arange(24.0).view(2, 3, 2, 2).contiguous(memory_format=core.channels_last)
    assert x.contiguous(memory_format=core.channels_last) is x
    assert x.is_contiguous(memory_format=core.channels_last)
    assert not x.is_contiguous()


def test_ravel_copies_what_has_gaps():
    x = core.arange(6.0)
    x[::2].ravel()[0] = 9
    assert x[0] == 0
    x.ravel()[0] = 9
    assert x[0] == 9


# ---- copies of what is expanded: dims stay where they stand -------------------------------------

EXPANDED = {
    "rows": lambda m: m.ones(7, dtype=m.int64).expand(5, 3, 7),
    "columns": lambda m: m.ones(3, 1, dtype=m.int64).expand(3, 4),
    "turned": lambda m: m.ones(2, 5, dtype=m.int64).t().unsqueeze(0).expand(3, 5, 2),
    "between": lambda m: m.ones(4, 1, 5, 6, dtype=m.int64).permute(3, 1, 0, 2).expand(6, 3, 4, 5),
    "one number": lambda m: m.ones(1, 1, dtype=m.int64).expand(3, 4),
    "turned alone": lambda m: m.ones(2, 3, 4, dtype=m.int64).permute(2, 0, 1),
    "gaps": lambda m: m.ones(6, 8, dtype=m.int64)[::2, ::3].t(),
}


@pytest.mark.parametrize("name", EXPANDED)
def test_copies_of_expanded_memory(name):
    def strides(m):
        x = EXPANDED[name](m)
        copies = [x.clone(), x.float(), x.half().float(), x.sqrt(), x + 1.5, x.flip(0), m.i0(x)]
        copies += [m.zeros_like(x), m.full_like(x, 2), m.rand_like(x, dtype=m.float32)]
        return [copy.stride() for copy in copies]

    same(strides)


@pytest.mark.parametrize("name", EXPANDED)
def test_results_of_expanded_memory(name):
    def strides(m):
        like, f = EXPANDED[name](m), m.nn.functional
        x = m.ones(400).as_strided(like.shape, like.stride())
        results = [f.silu(x), f.elu(x), f.gelu(x), f.mish(x), f.logsigmoid(x)]
        results += [m.cat([x, x]), m.cat([x, x], 1), x.masked_fill(x > 2, 0)]
        return [result.stride() for result in results]

    same(strides)
