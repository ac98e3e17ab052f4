"""Logical shards: the same bits on every number of ranks."""

import collections

import numpy as np
import pytest

import core
import ddp
from core import nn, optim
from ddp.current_group import current_group
from ddp.shards import check_shards, interleave, split, warn_of_threads
from tests.ddp.shard_runs import RUNS

SHARDS = 8


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.__name__)
def test_bits_do_not_depend_on_the_number_of_ranks(run):
    expected = ddp.simulate(run, 1, (SHARDS,), timeout=60)[0]
    for size in (2, 4, 8):
        for found in ddp.simulate(run, size, (SHARDS,), timeout=60):
            assert found == expected


def test_a_shard_count_equal_to_the_ranks_equals_plain_training():
    """Shards change who computes what, not what is computed."""

    def train(shards):
        core.manual_seed(0)
        model = ddp.DistributedDataParallel(nn.Linear(5, 3).double(), shards=shards)
        opt = optim.SGD(model.parameters(), lr=0.1)
        for step in range(3):
            x = core.from_numpy(np.random.default_rng(step).normal(size=(16, 5)))
            opt.zero_grad()
            (model(x[current_group().rank :: 4]) ** 2).mean().backward()
            opt.step()
        return [p.detach().numpy() for p in model.parameters()]

    for sharded, plain in zip(ddp.simulate(train, 4, (4,)), ddp.simulate(train, 4, (None,))):
        for p, q in zip(sharded, plain, strict=True):
            np.testing.assert_allclose(p, q, rtol=1e-12)


@pytest.mark.parametrize("shards, size", [(3, 1), (6, 2), (4, 8), (8, 3), (0, 1)])
def test_other_counts_are_refused_with_the_reason(shards, size):
    with pytest.raises(ValueError, match=r"power of two|multiple"):
        check_shards(shards, size)


@pytest.mark.parametrize("size", [1, 2, 4])
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_the_mean_over_ranks_has_the_same_bits_and_the_local_gradient(size, dtype):
    values = np.random.default_rng(0).normal(size=16).astype(dtype)

    def run():
        group = current_group()
        group.shards = 4
        x = core.from_numpy(values[group.rank :: group.size].copy()).requires_grad_()
        mean = ddp.mean(x)
        mean.backward()
        assert (x.grad.numpy() == 1 / len(x)).all()
        return mean.detach().numpy().tobytes()

    assert len(set(ddp.simulate(run, size) + ddp.simulate(run, 1))) == 1
    found = np.frombuffer(ddp.simulate(run, size)[0], dtype)[0]
    np.testing.assert_allclose(found, values.astype("float64").mean(), rtol=np.finfo(dtype).eps)


def test_the_mean_counts_samples_where_ranks_have_different_numbers():
    def run():
        return ddp.mean(core.arange(ddp.get_rank() + 1, dtype=core.float64)).item()

    assert ddp.simulate(run, 3) == [(0 + 0 + 1 + 0 + 1 + 2) / 6] * 3


def test_values_that_do_not_divide_into_shards_are_refused():
    def run():
        current_group().shards = 4
        ddp.mean(core.ones(3))

    with pytest.raises(ValueError, match="3 values cannot be taken on 2 shards"):
        ddp.simulate(run, 2)


def test_more_than_one_blas_thread_is_warned_of():
    with pytest.warns(UserWarning, match="OMP_NUM_THREADS=1"):
        warn_of_threads({"OMP_NUM_THREADS": "2"})
    warn_of_threads({"OPENBLAS_NUM_THREADS": "1"})


def test_interleaving_undoes_splitting():
    x = core.arange(24.0).reshape(8, 3)
    ordered = collections.OrderedDict(x=x, n=3)
    for kind, given in ((dict, {"x": x, "n": 3}), (collections.OrderedDict, ordered)):
        parts = split(given, 4)
        assert [part["x"].shape[0] for part in parts] == [2] * 4
        joined = interleave(parts)
        assert type(joined) is kind and joined["n"] == 3
        assert (joined["x"] == x).array.all()


class Returning(nn.Module):
    """A layer that returns what `make` makes of its output and the number of the call."""

    def __init__(self, make):
        super().__init__()
        self.layer, self.make, self.calls = nn.Linear(5, 2), make, 0

    def forward(self, x):
        self.calls += 1
        return self.make(self.layer(x), self.calls)


@pytest.mark.parametrize(
    "make, error, text",
    [
        (lambda out, _: out.reshape(-1), ValueError, r"rank \d: an output of shape \(8,\)"),
        (lambda out, _: out.T, ValueError, r"of a logical shard of 4 samples"),
        (lambda out, n: [out] * n, TypeError, "hold different things"),
        (lambda out, n: {f"call {n}": out}, TypeError, "hold different things"),
        (lambda out, n: (out, n), TypeError, "they differ"),
    ],
)
def test_outputs_that_are_no_rows_of_the_batch_are_refused(make, error, text):
    """In another order they would meet the wrong targets outside, on some numbers of ranks only."""

    def run():
        model = ddp.DistributedDataParallel(Returning(make), shards=4)
        model(core.ones(8, 5))

    with pytest.raises(error, match=text):
        ddp.simulate(run, 2)


def test_a_batch_that_does_not_divide_is_refused():
    """Nor are packed sequences cut, whose samples do not lie row by row."""
    packed = nn.utils.rnn.pack_padded_sequence(core.zeros(3, 2, 5), [3, 3])
    with pytest.raises(TypeError, match="padded sequences"):
        split({"x": packed}, 2)
    with pytest.raises(ValueError, match="batch of 6 samples cannot be cut in 4"):
        split(core.zeros(6, 2), 4)
