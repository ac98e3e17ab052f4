"""Datasets for the tests of the loader, in a module of their own that workers can import."""

import os
import random
import signal
import threading

import numpy

from core.data import Dataset, IterableDataset, get_worker_info
from core.random import default_generator, uniform


class Numbers(Dataset):
    """The numbers themselves; what a subclass does at `trouble` is its point."""

    def __init__(self, n, trouble=-1):
        self.n, self.trouble = n, trouble

    def __len__(self):
        return self.n

    def __getitem__(self, index):
        if index == self.trouble:
            self.fail()
        return index


class Killed(Numbers):
    def fail(self):
        os.kill(os.getpid(), signal.SIGKILL)


class Exits(Numbers):
    def fail(self):
        os._exit(3)


class Stuck(Numbers):
    def fail(self):
        threading.Event().wait()


class Raises(Numbers):
    def fail(self):
        raise ValueError(f"sample {self.trouble} is broken")


class RaisesKeyError(Numbers):
    def fail(self):
        raise KeyError("label")


class LocalError(Numbers):
    def fail(self):
        class HereOnlyError(Exception):
            pass

        raise HereOnlyError("not importable")


class CannotTravel(Numbers):
    def __getitem__(self, index):
        return lambda: index


class Noise(Numbers):
    """Random numbers of all three kinds that a transform may draw."""

    def __getitem__(self, index):
        ours = float(uniform(default_generator().reserve(), 1, numpy.float64)[0])
        if get_worker_info() is None:
            return index, ours
        return index, ours, random.random(), numpy.random.rand()


class OwnNoise(Numbers):
    def __getitem__(self, index):
        return index, float(uniform(default_generator().reserve(), 1, numpy.float64)[0])


class Images(Numbers):
    def __getitem__(self, index):
        return numpy.full((3, 64, 64), index, numpy.float32), index


class Process(Numbers):
    """Who made the sample."""

    def __getitem__(self, index):
        info = get_worker_info()
        return os.getpid(), info.id, info.num_workers, info.dataset is self


class Environment(Numbers):
    def __getitem__(self, index):
        return sorted(os.environ)


class Shares(IterableDataset):
    """A stream of which each worker reads its share."""

    def __init__(self, n):
        self.n = n

    def __iter__(self):
        info = get_worker_info()
        first, step = (info.id, info.num_workers) if info else (0, 1)
        yield from range(first, self.n, step)

    def __len__(self):
        return self.n


class NoisyStream(IterableDataset):
    def __iter__(self):
        for _ in range(12):
            yield float(uniform(default_generator().reserve(), 1, numpy.float64)[0])


started: list[int] = []


def remember(worker):
    started.append(worker)


def show_started(batch):
    return list(started)


def as_list(batch):
    return list(batch)
