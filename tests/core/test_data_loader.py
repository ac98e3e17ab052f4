"""Laws of the loader: the batches, the same for every number of workers, resumed anywhere."""

import itertools
import json
import os
import select
import sys
from pathlib import Path

import numpy
import pytest

from core.data import BatchSampler, DataLoader, RandomSampler, TensorDataset, default_collate
from core.ops.creation import from_numpy
from core.random import Generator, Key, bits, using
from core.tensor import Tensor

sys.path.append(str(Path(__file__).parent))
import loader_datasets as data


def plain(batch):
    """The batch with lists for tensors."""
    if isinstance(batch, Tensor):
        return batch.tolist()
    if isinstance(batch, list | tuple):
        return [plain(part) for part in batch]
    return batch


def batches(loader):
    return [plain(batch) for batch in loader]


def seeded(seed=4):
    return Generator().manual_seed(seed)


# ---- batches ----


@pytest.mark.parametrize("drop_last", [False, True])
def test_batches_are_the_samples_in_order(drop_last):
    loader = DataLoader(data.Numbers(7), batch_size=3, drop_last=drop_last)
    assert batches(loader) == [[0, 1, 2], [3, 4, 5], [6]][: 2 if drop_last else 3]
    assert len(loader) == len(iter(loader)) == len(list(loader))


def test_no_batching_gives_the_samples():
    assert list(DataLoader(data.Numbers(3), batch_size=None)) == [0, 1, 2]
    assert list(DataLoader(data.Shares(3), batch_size=None)) == [0, 1, 2]


def test_a_batch_sampler_decides():
    order = BatchSampler(RandomSampler(range(10), generator=seeded()), 4, False)
    loader = DataLoader(data.Numbers(10), batch_sampler=order)
    assert len(loader) == 3 and loader.batch_size is None
    assert sorted(itertools.chain(*batches(loader))) == list(range(10))


def test_shuffle_visits_all_in_another_order_each_epoch():
    loader = DataLoader(data.Numbers(20), batch_size=20, shuffle=True, generator=seeded())
    first, second = batches(loader), batches(loader)
    assert first != second
    assert sorted(first[0]) == sorted(second[0]) == list(range(20))
    again = DataLoader(data.Numbers(20), batch_size=20, shuffle=True, generator=seeded())
    assert [batches(again), batches(again)] == [first, second]


def test_tensor_dataset_batches_are_those_of_single_samples():
    x = from_numpy(numpy.arange(24.0, dtype=numpy.float32).reshape(8, 3))
    y = from_numpy(numpy.arange(8))
    whole = DataLoader(TensorDataset(x, y), batch_size=3)
    one_by_one = DataLoader(
        TensorDataset(x, y), batch_size=3, collate_fn=lambda b: default_collate(b)
    )
    assert batches(whole) == batches(one_by_one)
    features, labels = next(iter(whole))
    assert isinstance(features, Tensor) and features.shape == (3, 3)
    assert features.dtype == x.dtype and labels.dtype == y.dtype


BAD = {
    "prefetch": {"prefetch_factor": 2},
    "persistent": {"persistent_workers": True},
    "workers": {"num_workers": -1},
    "timeout": {"timeout": -1},
    "shuffled sampler": {"sampler": [0], "shuffle": True},
    "batch sampler": {"batch_sampler": [[0]], "batch_size": 2},
    "batch sampler, shuffled": {"batch_sampler": [[0]], "shuffle": True},
    "dropping nothing": {"batch_size": None, "drop_last": True},
    "no batch": {"batch_size": 0},
}


@pytest.mark.parametrize("name", BAD)
def test_contradictions_are_refused_as_in_torch(name):
    torch = pytest.importorskip("torch")
    for loader in (DataLoader, torch.utils.data.DataLoader):
        with pytest.raises(ValueError):
            loader([1, 2, 3], **BAD[name])


@pytest.mark.parametrize("wrong", [{"shuffle": True}, {"sampler": [0]}, {"batch_sampler": [[0]]}])
def test_a_stream_has_its_own_order(wrong):
    with pytest.raises(ValueError, match="decides the order"):
        DataLoader(data.Shares(3), **wrong)


def test_forked_workers_are_refused():
    with pytest.raises(ValueError, match="do not survive a fork"):
        DataLoader([1], num_workers=1, multiprocessing_context="fork")


# ---- random numbers and resuming ----


@pytest.mark.slow
def test_random_numbers_do_not_depend_on_the_number_of_workers():
    def epochs(workers):
        with using(seeded()):
            loader = DataLoader(data.OwnNoise(10), 3, shuffle=True, num_workers=workers)
            return [batches(loader), batches(loader)]

    expected = epochs(0)
    assert expected[0] != expected[1]
    assert epochs(1) == epochs(3) == expected


@pytest.mark.slow
def test_streams_differ_by_rank_worker_batch_and_epoch():
    drawn = []
    for rank in range(2):
        source = seeded()
        source.stream = rank
        loader = DataLoader(data.Noise(8), 2, num_workers=2, generator=source)
        for _ in range(2):
            drawn += [value for batch in batches(loader) for kind in batch[1:] for value in kind]
    assert len(drawn) == len(dict.fromkeys(drawn)) == 2 * 2 * 8 * 3


def test_drawing_a_batch_leaves_the_default_generator_alone():
    with using(seeded()) as generator:
        loader = DataLoader(data.OwnNoise(6), 2)
        for done, _ in enumerate(loader):
            assert generator.offset == 1, done


MADE = {
    "shuffled": lambda **how: DataLoader(data.OwnNoise(10), 3, shuffle=True, **how),
    "weighted": lambda **how: DataLoader(
        data.OwnNoise(4),
        2,
        sampler=RandomSampler(range(4), replacement=True, num_samples=9),
        **how,
    ),
    "stream": lambda **how: DataLoader(data.NoisyStream(), 2, **how),
}
# Batches that came before the stop; a new worker costs half a second, so most of them stay.
RESUMED = [(0, {}), (1, {}), (3, {})] + [
    pytest.param(done, {"num_workers": 2, "persistent_workers": done != 1}, marks=pytest.mark.slow)
    for done in (0, 1, 3)
]


@pytest.mark.parametrize("name", MADE)
@pytest.mark.parametrize(("done", "how"), RESUMED)
def test_a_resumed_epoch_goes_on_where_it_was(name, done, how):
    with using(seeded()) as generator:
        loader = MADE[name](**how)
        batches(loader)
        running = iter(loader)
        for _ in range(done):
            next(running)
        state, random_state = json.loads(json.dumps(loader.state_dict())), generator.get_state()
        rest = [plain(batch) for batch in running]
        following = batches(loader)
    assert state["batches"] == done
    with using(Generator().set_state(random_state)):
        resumed = MADE[name](**how)
        resumed.load_state_dict(state)
        assert resumed.state_dict() == state
        assert batches(resumed) == rest
        assert batches(resumed) == following


def test_between_epochs_there_is_nothing_to_resume():
    loader = DataLoader(data.Numbers(4), 2, shuffle=True)
    assert loader.state_dict()["batches"] == 0
    list(loader)
    state = loader.state_dict()
    assert state["batches"] == 0 and state["key"] is None
    loader.load_state_dict(state)
    assert len(list(loader)) == 2


# ---- workers ----


def workers(dataset, n=2, **more):
    return DataLoader(dataset, num_workers=n, **more)


def gone(pid):
    """Waits until a process has ended."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([process], [], [], 10)[0])
    finally:
        os.close(process)


def test_workers_tell_who_they_are_and_go():
    rows = batches(workers(data.Process(4), collate_fn=data.as_list))
    assert [row[0][1:] for row in rows] == [[0, 2, True], [1, 2, True]] * 2
    pids = sorted({row[0][0] for row in rows})
    assert len(pids) == 2 and os.getpid() not in pids
    assert all(gone(pid) for pid in pids)


def test_persistent_workers_stay():
    loader = workers(data.Process(2), collate_fn=data.as_list, persistent_workers=True)
    first, second = batches(loader), batches(loader)
    assert first == second
    del loader
    assert all(gone(row[0][0]) for row in first)


def test_an_epoch_left_early_does_not_leak_into_the_next():
    loader = workers(data.Numbers(20), batch_size=2, persistent_workers=True)
    assert plain(next(iter(loader))) == [0, 1]
    assert batches(loader) == [[i, i + 1] for i in range(0, 20, 2)]


def test_persistent_workers_serve_one_epoch_at_a_time():
    loader = workers(data.Numbers(8), 1, persistent_workers=True)
    first = iter(loader)
    assert plain(next(first)) == [0]
    second = iter(loader)
    assert plain(next(second)) == [0]
    with pytest.raises(RuntimeError, match="given up when the next one"):
        next(first)
    assert [plain(batch) for batch in second] == [[i] for i in range(1, 8)]


def test_an_iterator_left_early_leaves_no_process():
    running = iter(workers(data.Process(50), collate_fn=data.as_list))
    pids = [next(running)[0][0], next(running)[0][0]]
    del running
    assert all(gone(pid) for pid in pids)


def test_large_batches_arrive_whole_and_writable():
    for (images, labels), start in zip(workers(data.Images(24), batch_size=8), (0, 8, 16)):
        expected = numpy.arange(start, start + 8)
        assert labels.tolist() == expected.tolist()
        assert (images.array == expected[:, None, None, None]).all()
        images.array += 1


def test_a_stream_is_read_by_all_its_workers():
    assert batches(workers(data.Shares(10), batch_size=2)) == [
        [0, 2],
        [1, 3],
        [4, 6],
        [5, 7],
        [8],
        [9],
    ]
    assert batches(workers(data.Shares(5), 3, batch_size=None)) == [0, 1, 2, 3, 4]
    kept = batches(workers(data.Shares(5), 3, batch_size=2, drop_last=True))
    assert kept == [[0, 3], [1, 4]]


def test_out_of_order_batches_are_the_same_batches():
    loader = workers(data.Numbers(30), batch_size=4, in_order=False)
    assert sorted(batches(loader)) == batches(DataLoader(data.Numbers(30), batch_size=4))


def test_worker_init_fn_runs_once_per_worker():
    loader = workers(
        data.Numbers(4),
        worker_init_fn=data.remember,
        collate_fn=data.show_started,
        persistent_workers=True,
    )
    assert list(loader) + list(loader) == [[0], [1]] * 4


def test_workers_do_not_look_like_ranks(monkeypatch):
    for name in ("PMI_RANK", "PMIX_RANK", "OMPI_COMM_WORLD_RANK", "PRTE_X", "HYDI_CONTROL_FD"):
        monkeypatch.setenv(name, "1")
    (names,) = workers(data.Environment(1), 1, batch_size=None)
    assert "PATH" in names and "OMP_NUM_THREADS" in names
    assert not [name for name in names if name.startswith(("PMI", "OMPI", "PRTE", "HYDI"))]


# ---- workers that fail ----


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (data.Killed, r"DataLoader worker 1 \(pid \d+\) was killed by signal 9, SIGKILL"),
        (data.Exits, r"DataLoader worker 1 \(pid \d+\) exited unexpectedly with status 3"),
    ],
)
def test_a_lost_worker_is_an_error_that_names_it(kind, message):
    running = iter(workers(kind(10, trouble=3)))
    with pytest.raises(RuntimeError, match=message):
        list(running)


@pytest.mark.slow
def test_a_stuck_worker_ends_at_the_timeout():
    loader = workers(data.Stuck(10, trouble=2), timeout=2)
    with pytest.raises(RuntimeError, match="timed out after 2 seconds"):
        list(loader)


def test_an_exception_comes_with_the_traceback_of_the_worker():
    with pytest.raises(ValueError) as caught:
        list(workers(data.Raises(10, trouble=3)))
    text = str(caught.value)
    assert text.startswith("Caught ValueError in DataLoader worker process 1.\nOriginal Traceback")
    assert "loader_datasets.py" in text and text.endswith("ValueError: sample 3 is broken\n")
    assert text.count("Traceback") == 1


def test_a_key_error_reads_well():
    with pytest.raises(KeyError) as caught:
        list(workers(data.RaisesKeyError(2, trouble=0), 1))
    assert "\nOriginal Traceback" in str(caught.value)


def test_an_exception_that_cannot_travel_is_a_runtime_error():
    with pytest.raises(RuntimeError, match=r"Caught HereOnlyError in DataLoader worker process"):
        list(workers(data.LocalError(2, trouble=0), 1))


def test_a_batch_that_cannot_travel_is_an_error():
    with pytest.raises(Exception, match="in DataLoader worker process 0"):
        list(workers(data.CannotTravel(2), 1, collate_fn=data.as_list))


def test_a_dataset_that_cannot_travel_is_an_error_before_any_process():
    with pytest.raises(TypeError, match="needs pickle"):
        list(workers([lambda: 1], 1))


def test_a_failing_init_fn_is_an_error():
    with pytest.raises(TypeError, match="in DataLoader worker process 0"):
        list(workers(data.Numbers(2), 1, worker_init_fn=data.Numbers(1).__len__))


def test_base_seed_is_the_first_word_of_the_epoch_key():
    loader = DataLoader(data.OwnNoise(1), generator=seeded(9))
    seed = int(bits(Key(9, 0, 0), 1)[0])
    expected = (bits(Key(seed, 0, 0), 1)[0] >> numpy.uint64(11)) * 2.0**-53
    assert batches(loader) == [[[0], [float(expected)]]]


@pytest.mark.parametrize("name", ["batch_size", "sampler", "drop_last", "dataset"])
def test_what_a_loader_was_made_from_stays(name):
    loader = DataLoader([1, 2, 3], 2)
    before = getattr(loader, name)
    with pytest.raises(ValueError, match=f"{name} attribute should not be set after DataLoader"):
        setattr(loader, name, 7)
    assert getattr(loader, name) is before
    loader.num_workers = 0  # as in PyTorch
