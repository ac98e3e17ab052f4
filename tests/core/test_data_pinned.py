"""DataLoader(pin_memory=True): batches in pinned memory, copied to a GPU while the CPU goes on."""

import collections

import numpy as np
import pytest

import core
from core import pinned
from core.data import DataLoader
from core.simulated.device import Task

Pair = collections.namedtuple("Pair", "x y")


class Samples:
    """Each sample in another structure."""

    def __init__(self, wrap):
        self.wrap = wrap

    def __len__(self):
        return 6

    def __getitem__(self, i):
        return self.wrap(np.full(3, i, np.float32), i)


STRUCTURES = {
    "pair": (lambda x, y: (x, y), lambda b: b),
    "named": (Pair, lambda b: [b.x, b.y]),
    "mapping": (lambda x, y: {"x": x, "y": y}, lambda b: [b["x"], b["y"]]),
    "nested": (lambda x, y: {"a": [x, (y,)]}, lambda b: [b["a"][0], b["a"][1][0]]),
}


@pytest.fixture
def gpu(monkeypatch):
    monkeypatch.setenv("UNISON_SIMULATED_GPUS", "2")


@pytest.mark.parametrize("name", STRUCTURES)
def test_every_tensor_of_a_batch_is_pinned_and_equal(gpu, name):
    wrap, parts = STRUCTURES[name]
    plain = DataLoader(Samples(wrap), batch_size=2)
    for batch, other in zip(DataLoader(Samples(wrap), 2, pin_memory=True), plain, strict=True):
        assert type(batch) is type(other)
        for x, y in zip(parts(batch), parts(other), strict=True):
            assert x.is_pinned() and not y.is_pinned()
            assert x.dtype == y.dtype and core.equal(x, y)


def test_batches_of_workers_are_pinned(gpu):
    for x in DataLoader(core.arange(8.0), 4, num_workers=1, pin_memory=True):
        assert x.is_pinned()


def test_what_can_pin_itself_does_and_texts_stay(gpu):
    class Own:
        pinned = False

        def pin_memory(self):
            self.pinned = True
            return self

    def collate(samples):
        return Own(), "text", samples[0]

    own, text, number = next(iter(DataLoader([1, 2], collate_fn=collate, pin_memory=True)))
    assert own.pinned and text == "text" and number == 1


def test_without_a_gpu_a_warning_says_so(monkeypatch):
    monkeypatch.delenv("UNISON_SIMULATED_GPUS", raising=False)
    if core.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.warns(UserWarning, match="no accelerator is found"):
        batches = list(DataLoader(core.arange(4.0), 2, pin_memory=True))
    assert not batches[0].is_pinned()


def test_a_batch_on_its_way_is_kept_until_the_gpu_has_read_it(gpu):
    """The loop drops each batch while the event behind its copy may still be to come."""
    stream, running = core.cuda.Stream(device=1), Task()
    with core.cuda.stream(stream):
        loader = iter(DataLoader(core.arange(4.0), 2, pin_memory=True))
        x = next(loader)
        address = x.data_ptr()
        event = stream.array_stream.record
        stream.array_stream.record = lambda: stream.array_stream.add(running) or event()
        on_gpu = x.to("cuda:1", non_blocking=True)
        del x, stream.array_stream.record
        kept = [array.ctypes.data for done, array in pinned.in_flight if not done.done]
        assert address in kept
        running.finish()
        assert on_gpu.tolist() == [0, 1]
        next(loader).to("cuda:1", non_blocking=True)
        assert address not in [array.ctypes.data for _, array in pinned.in_flight]
