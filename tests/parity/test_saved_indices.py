"""What an op goes by on its way back (indices, masks, classes) may not be written before."""

import pytest

from tests.parity.programs import same


def rows(m):
    return m.tensor([0, 2])


def classes(m):
    return m.tensor([0, 1, 2])


def places(m):
    return m.ones(3, 4, dtype=m.int64)


def mask(m):
    return m.arange(12).view(3, 4) > 5


def written(m, x, i):
    x[i] = 0.0
    return x


def received(m, x, i):
    y = m.zeros(3, 4, dtype=m.float64)
    y[i] = x[: len(i)] if i.dtype == m.int64 else x.reshape(-1)[:6]
    return y


def zeros(m):
    return m.zeros(3, 4, dtype=m.float64)


OPS = {
    "rows": (rows, lambda m, x, i: x[i]),
    "columns": (rows, lambda m, x, i: x[:, i]),
    "pairs": (rows, lambda m, x, i: x[i, i]),
    "rows and a slice": (rows, lambda m, x, i: x[i, :2]),
    "a list and a tensor": (rows, lambda m, x, i: x[[0, 1], i]),
    "narrow indices": (lambda m: rows(m).int(), lambda m, x, i: x[i]),
    "mask": (mask, lambda m, x, i: x[i]),
    "mask of rows": (lambda m: classes(m) > 0, lambda m, x, i: x[i]),
    "mask of bytes": (lambda m: (classes(m) > 0).to(m.uint8), lambda m, x, i: x[i]),
    "number": (lambda m: m.tensor(1), lambda m, x, i: x[i]),
    "write to rows": (rows, written),
    "write to a mask": (mask, written),
    "tracked write to rows": (rows, received),
    "tracked write to a mask": (mask, received),
    "index_put": (rows, lambda m, x, i: zeros(m).index_put((i,), x[:2])),
    "adding index_put": (rows, lambda m, x, i: zeros(m).index_put((i,), x[:2], accumulate=True)),
    "gather": (places, lambda m, x, i: x.gather(1, i)),
    "index_select": (rows, lambda m, x, i: x.index_select(0, i)),
    "masked_select": (mask, lambda m, x, i: x.masked_select(i)),
    "masked_fill": (mask, lambda m, x, i: x.masked_fill(i, 0)),
    "masked_scatter": (mask, lambda m, x, i: zeros(m).masked_scatter(i, x)),
    "where": (mask, lambda m, x, i: m.where(i, x, x * 2)),
    "index_add": (rows, lambda m, x, i: zeros(m).index_add(0, i, x[:2])),
    "index_copy": (rows, lambda m, x, i: zeros(m).index_copy(0, i, x[:2])),
    "scatter": (places, lambda m, x, i: zeros(m).scatter(0, i, x)),
    "scatter_add": (places, lambda m, x, i: zeros(m).scatter_add(0, i, x)),
    "embedding": (rows, lambda m, x, i: m.nn.functional.embedding(i, x)),
    "embedding_bag": (
        rows, lambda m, x, i: m.nn.functional.embedding_bag(i, x, m.tensor([0, 1]))
    ),
    "nll_loss": (classes, lambda m, x, i: m.nn.functional.nll_loss(x, i)),
    "cross_entropy": (classes, lambda m, x, i: m.nn.functional.cross_entropy(x, i)),
}  # fmt: skip
RESULTS = {
    "sort": lambda m, x: x.sort(1),
    "max": lambda m, x: x.max(1),
    "topk": lambda m, x: x.topk(2, 1),
    "cummax": lambda m, x: x.cummax(1),
    "median": lambda m, x: x.median(0),
    "kthvalue": lambda m, x: x.kthvalue(2, 1),
    "qr": lambda m, x: m.linalg.qr(x.T),
    "slogdet": lambda m, x: m.linalg.slogdet(x[:, :3]),
    "svd": lambda m, x: m.linalg.svd(x, full_matrices=False)[:2],
}


def leaf(m):
    x = (m.arange(12.0, dtype=m.float64) ** 2).sin().view(3, 4)  # of full rank
    return x.requires_grad_()


@pytest.mark.parametrize("write", [True, False], ids=["written", "kept"])
@pytest.mark.parametrize("name", OPS)
def test_written_before_backward(name, write):
    make, op = OPS[name]

    def program(m):
        x, i = leaf(m), make(m)
        y = op(m, x * 1, i)
        if write:
            i.zero_()
        (y * y).sum().backward()
        return x.grad

    same(program)


@pytest.mark.parametrize("which", [None, 0, 1])
@pytest.mark.parametrize("name", RESULTS)
def test_results_written_before_backward(name, which):
    def program(m):
        x = leaf(m)
        found = RESULTS[name](m, x * 1)
        total = sum(part.abs().sum() * 2 for part in found if part.requires_grad)
        if which is not None:
            found[which].zero_()
        total.backward()
        return x.grad

    same(program)
