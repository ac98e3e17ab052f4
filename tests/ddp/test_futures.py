"""Futures: a value once it is set or asked for, exceptions too."""

import threading
from datetime import timedelta

import numpy as np
import pytest

import ddp
from ddp.futures import Future, collect_all, wait_all


def test_a_value_is_waited_for_and_set_once():
    later = Future()
    assert not later.done()
    with pytest.raises(RuntimeError, match="no value yet"):
        later.value()
    thread = threading.Thread(target=lambda: later.set_result(3))
    thread.start()
    assert later.wait() == later.value() == 3 and later.done()
    thread.join()
    with pytest.raises(RuntimeError, match="already"):
        later.set_result(4)


def test_what_follows_is_made_once_when_asked_for():
    calls, later = [], Future()
    doubled = later.then(lambda done: calls.append(1) or 2 * done.wait())
    later.add_done_callback(lambda done: calls.append(done.value()))
    later.set_result(3)
    assert calls == [3] and doubled.done()
    assert doubled.wait() == doubled.value() == 6 and calls == [3, 1]
    later.add_done_callback(lambda done: calls.append("late"))
    assert calls[-1] == "late"


def test_an_exception_reaches_everyone_who_waits():
    later = Future()
    after = later.then(lambda done: done.wait())
    later.set_exception(KeyError("lost"))
    for _ in range(2):
        for future in (later, after, collect_all([later])):
            with pytest.raises(KeyError, match="lost"):
                future.wait()
    with pytest.raises(TypeError, match="an exception"):
        Future().set_exception("text")


def test_several_are_collected():
    parts = [Future() for _ in range(2)]
    whole = collect_all(parts)
    parts[0].set_result("a")
    assert not whole.done()
    parts[1].set_result("b")
    assert [part.value() for part in whole.wait()] == wait_all(parts) == ["a", "b"]


@pytest.mark.parametrize("size", [1, 2])
def test_a_collective_has_the_future_of_what_it_writes_to(size):
    def run():
        x, parts = np.ones(2), [np.zeros(1) for _ in range(size)]
        total = ddp.all_reduce(x, async_op=True).get_future()
        gathered = ddp.all_gather(parts, np.ones(1), async_op=True).get_future()
        assert total.wait()[0] is x and total.done()
        return total.value()[0].tolist(), np.concatenate(gathered.wait()).tolist()

    assert ddp.simulate(run, size) == [([size] * 2, [1] * size)] * size


def test_what_is_asked_of_started_work():
    """Its tensors, whose message it was, whether it failed; deadlines may be timedeltas."""

    def run():
        rank, x, got = ddp.get_rank(), np.ones(2), np.zeros(1)
        outs = [np.zeros(1), np.zeros(1)] if rank == 0 else None
        works = [
            (ddp.all_reduce(x, async_op=True), [x]),
            (ddp.gather(np.ones(1), outs, async_op=True), outs or []),
            (ddp.scatter(got, outs, async_op=True), [got]),
        ]
        for work, tensors in works:
            assert work.wait(timedelta(seconds=50)) and work.is_success()
            assert work.exception() is None and work.synchronize() is None
            for found in (work.result(), work.get_future().value()):
                assert [*map(id, found)] == [*map(id, tensors)]
        if rank == 0:
            return ddp.send(x, 1)
        message = ddp.irecv(x)
        message.wait()
        return message.source_rank()

    assert ddp.simulate(run, 2) == [None, 0]


def test_work_that_failed_says_why():
    def run():
        work = ddp.all_reduce(np.ones(2 + ddp.get_rank()), async_op=True)
        with pytest.raises(ddp.CollectiveMismatchError):
            work.result()
        return work.is_success(), type(work.exception()).__name__

    assert ddp.simulate(run, 2) == [(False, "CollectiveMismatchError")] * 2
