"""Where the time of a step goes, by clocks that the tests set; sizes of buckets tried."""

import numpy as np
import pytest

import core
import ddp
from core import nn
from ddp.stats import KEPT_STEPS, Recorder, summarised
from ddp.tuning import SIZES_MB, STEPS


class Clock:
    """Tells the time it was set to."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def run(delays, steps=5):
    """The stats of a model whose rank r computes for 10 ms + delays[r] in each step."""

    def train():
        model = ddp.DistributedDataParallel(nn.Linear(3, 2))
        clock = model.reducer.recorder.clock = Clock()
        for _ in range(steps):
            out = model(core.ones(2, 3)).sum()
            clock.now += 0.010 + delays[ddp.get_rank()]
            out.backward()
        return ddp.stats(), model.stats()

    found = ddp.simulate(train, len(delays))
    assert all(pair == found[0] for pair in found)
    assert found[0][0] == found[0][1]
    return found[0][0]


def test_a_slow_rank_is_found_before_the_collective():
    stats = run([0.0, 0.0, 0.050, 0.0])
    assert stats.slowest == 2 and stats.came_last == (0, 0, 4, 0)
    assert stats.steps == 4
    np.testing.assert_allclose(stats.compute, [0.010, 0.010, 0.060])
    np.testing.assert_allclose(stats.wait, [0.0, 0.050, 0.050])
    assert stats.bytes == 8 * 4


def test_reduction_is_told_from_waiting_and_from_what_computing_hides():
    """Two ranks, one step: (compute, finish, reduce, bytes) of each."""
    stats = summarised(np.array([[[10.0, 7.0, 9.0, 4]], [[14.0, 3.0, 8.0, 4]]]))
    assert stats.wait == (0.0, 2.0, 4.0)
    assert stats.exposed == (3.0, 3.0, 3.0)
    assert stats.reduce == (5.0, 6.5, 8.0)
    assert stats.slowest == 1


def test_a_recorder_reads_the_clock_at_four_places():
    recorder = Recorder(Clock())
    for _ in range(KEPT_STEPS + 5):
        recorder.began()
        for nbytes in (8, 4):
            recorder.clock.now += 1
            recorder.sent(nbytes)
        recorder.clock.now += 1
        recorder.arrives()
        recorder.clock.now += 2
        recorder.ends()
    assert list(recorder.steps) == [(3, 2, 4, 12)] * KEPT_STEPS


def test_a_layer_that_is_unfrozen_does_not_end_the_record():
    def run():
        module = core.nn.Sequential(core.nn.Linear(3, 2), core.nn.Linear(2, 1))
        module[0].requires_grad_(False)
        model = ddp.DistributedDataParallel(module)
        for step in range(5):
            module[0].requires_grad_(step > 2)
            model(core.ones(4, 3)).sum().backward()
            model.zero_grad()
        return model.stats().steps, ddp.stats().steps

    assert ddp.simulate(run, 2) == [(4, 4)] * 2


def test_before_the_second_step_there_is_nothing_to_tell():
    with pytest.raises(RuntimeError, match="two steps"):
        run([0.0, 0.0], steps=1)


@pytest.mark.parametrize("best", range(len(SIZES_MB)))
def test_the_fastest_size_of_buckets_stays_and_changes_no_bit(best):
    def train(cap):
        core.manual_seed(0)
        model = ddp.DistributedDataParallel(nn.Linear(3, 2), bucket_cap_mb=cap)
        clock, total = Clock(), []
        for step in range(len(SIZES_MB) * (STEPS + 1) + 2):
            x = core.from_numpy(np.random.default_rng([step, ddp.get_rank()]).normal(size=(2, 3)))
            model.zero_grad()
            out = model(x.float()).sum()
            model.reducer.recorder.clock = clock
            wanted = model.bucket_cap == SIZES_MB[best] << 20
            # Rank 1 finds another size the fastest; the slowest rank's time is what counts.
            clock.now += (1 if wanted else 2) if ddp.get_rank() else 0.5 + 0.01 * model.bucket_cap
            clock.now += 0 if wanted else 1e9
            out.backward()
            total.append(model.module.weight.grad.numpy().copy())
        return model.bucket_cap, model.tuner, np.stack(total).tobytes()

    tuned = ddp.simulate(train, 2, ("auto",))
    assert [(cap, tuner) for cap, tuner, _ in tuned] == [(SIZES_MB[best] << 20, None)] * 2
    assert [bits for _, _, bits in tuned] == [b for _, _, b in ddp.simulate(train, 2, (25,))]
