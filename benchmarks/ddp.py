"""Milliseconds per training step under DistributedDataParallel, beside torch DDP over gloo.

python benchmarks/ddp.py [--ranks 2] [--rounds 15] [--json FILE]

"tutorial cnn", "lenet" and "linear" are the networks of the five tutorials that this project starts
from, as written there, with their batches and optimizers; "mlp" is PyTorch's quickstart's
perceptron, "toy" its DDP tutorial's, "mnist cnn" its MNIST example's, each with SGD on a batch of
64, the toy's of 20.

On the same ranks, in turn, round after round, each with one thread: ours and torch's DDP; then each
wrapped and not, on one rank; and ours with as many logical shards as ranks; what is exposed of the
reductions, and what `ddp.stats()` costs. A figure is the median over rounds; a ratio the median
over rounds of one divided by the other; `of_least` the ratio of the least times, which other work
on the machine disturbs less.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
# This file has the name of the package that it measures, and must not stand in its way.
sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != Path(__file__).parent]

import numpy  # noqa: E402 - after the number of threads and the path are set
from tqdm import tqdm  # noqa: E402

import core  # noqa: E402
import ddp  # noqa: E402

STEPS = {
    "toy": 40, "linear": 60, "lenet": 10, "tutorial cnn": 4, "tutorial cnn, shared": 6, "mlp": 10,
    "mnist cnn": 2,
}  # fmt: skip


def lenet(nn: Any) -> Any:
    """The network of PyTorch's first tutorial, as written there."""
    functional = nn.functional

    class Net(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(1, 6, 5)
            self.conv2 = nn.Conv2d(6, 16, 5)
            self.fc1 = nn.Linear(16 * 5 * 5, 120)
            self.fc2 = nn.Linear(120, 84)
            self.fc3 = nn.Linear(84, 10)

        def forward(self, x: Any) -> Any:
            x = functional.max_pool2d(functional.relu(self.conv1(x)), (2, 2))
            x = functional.max_pool2d(functional.relu(self.conv2(x)), 2)
            x = x.view(-1, 16 * 5 * 5)
            x = functional.relu(self.fc1(x))
            x = functional.relu(self.fc2(x))
            return self.fc3(x)

    return Net()


def tutorial_cnn(nn: Any) -> Any:
    """The network of a tutorial on MNIST, as written there."""
    functional = nn.functional

    class CNN(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(1, 16, kernel_size=3, stride=1, padding=1)
            self.pool = nn.MaxPool2d(kernel_size=2, stride=2, padding=0)
            self.fc1 = nn.Linear(16 * 14 * 14, 128)
            self.fc2 = nn.Linear(128, 10)

        def forward(self, x: Any) -> Any:
            x = self.pool(functional.relu(self.conv1(x)))
            x = x.view(-1, 16 * 14 * 14)
            x = functional.relu(self.fc1(x))
            return self.fc2(x)

    return CNN()


def network(nn: Any, kind: str) -> Any:
    """The network of a name: see the top of this file."""
    if kind == "linear":
        return nn.Linear(1, 1)
    if kind == "toy":
        return nn.Sequential(nn.Linear(10, 10), nn.ReLU(), nn.Linear(10, 5))
    if kind == "lenet":
        return lenet(nn)
    if kind.startswith("tutorial cnn"):
        return tutorial_cnn(nn)
    if kind == "mlp":
        return nn.Sequential(
            nn.Flatten(), nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(),
            nn.Linear(512, 10),
        )  # fmt: skip
    return nn.Sequential(
        nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Dropout(0.25), nn.Flatten(), nn.Linear(9216, 128), nn.ReLU(), nn.Dropout(0.5),
        nn.Linear(128, 10),
    )  # fmt: skip


# The shape of a rank's batch: of the tutorials' networks the one that they train with. Where it is
# shared, two ranks have it together, as in the same training on two ranks.
BATCHES = {
    "toy": (20, 10), "linear": (1, 1), "lenet": (1, 1, 32, 32),
    "tutorial cnn, shared": (32, 1, 28, 28),
}  # fmt: skip


def batch(lib: Any, kind: str) -> tuple[Any, Any]:
    """Inputs and targets of one rank."""
    numbers = numpy.random.default_rng(0)
    shape = BATCHES.get(kind, (64, 1, 28, 28))
    x = lib.from_numpy(numbers.normal(size=shape).astype("float32"))
    if kind == "linear":
        return x, x + x
    return x, lib.from_numpy(numbers.integers(5 if kind == "toy" else 10, size=shape[0]))


def stepper(lib: Any, model: Any, kind: str) -> Callable[[], None]:
    """One training step of a model of either library."""
    x, y = batch(lib, kind)
    criterion = lib.nn.MSELoss() if kind == "linear" else lib.nn.CrossEntropyLoss()
    optimizer: Any = lib.optim.SGD(model.parameters(), lr=0.01)
    if kind.startswith("tutorial cnn"):
        optimizer = lib.optim.Adam(model.parameters(), lr=0.001)

    def step() -> None:
        optimizer.zero_grad()
        criterion(model(x), y).backward()
        optimizer.step()

    return step


def timed(step: Callable[[], None], count: int) -> float:
    """Milliseconds per step, all ranks together."""
    ddp.barrier()
    start = time.perf_counter()
    for _ in range(count):
        step()
    return (time.perf_counter() - start) / count * 1e3


def compared(
    one: Callable[[], None], other: Callable[[], None], count: int, rounds: int
) -> dict[str, float]:
    """Both times, and the ratio of one to the other."""
    pairs = []
    for i in range(rounds + 1):
        a, b = (timed(step, count) for step in ((one, other) if i % 2 else (other, one)))
        pairs.append((a, b) if i % 2 else (b, a))
    pairs = pairs[1:]  # the first round is there to warm up
    a, b = (statistics.median(column) for column in zip(*pairs, strict=True))
    least = min(x for x, _ in pairs) / min(y for _, y in pairs)
    ratio = statistics.median(x / y for x, y in pairs)
    return {"ms": a, "beside_ms": b, "ratio": ratio, "of_least": least}


def torch_twin(kind: str, rendezvous: str, wrapped: bool = True) -> Callable[[], None] | None:
    """Torch's step, over gloo where it is wrapped; None where torch is not installed."""
    try:
        import torch
    except ImportError:
        return None
    torch.set_num_threads(1)
    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group(
            "gloo",
            init_method=f"file://{rendezvous}",
            rank=ddp.get_rank(),
            world_size=ddp.get_world_size(),
        )
    model = network(torch.nn, kind)
    if wrapped:
        model = torch.nn.parallel.DistributedDataParallel(model)
    return stepper(torch, model, kind)


def measured(kind: str, rounds: int, rendezvous: str) -> dict[str, Any]:
    """All comparisons of one network."""
    count = STEPS[kind]
    wrapped = ddp.DistributedDataParallel(network(core.nn, kind))
    ours = stepper(core, wrapped, kind)
    found: dict[str, Any] = {}
    twin = torch_twin(kind, rendezvous)
    if twin is not None:
        found["beside torch DDP, gloo"] = compared(ours, twin, count, rounds)
    else:
        compared(ours, ours, count, rounds)
    stats = wrapped.stats()
    whole = stats.compute.median + stats.wait.median + stats.exposed.median
    found["exposed"] = {"percent": 100 * stats.exposed.median / whole}
    found["stats, of the step"] = stats_cost(wrapped, whole)
    sharded = ddp.DistributedDataParallel(network(core.nn, kind), shards=ddp.get_world_size())
    found["shards = ranks, beside none"] = compared(
        stepper(core, sharded, kind), ours, count, rounds
    )
    return found


def stats_cost(model: Any, step_seconds: float) -> dict[str, float]:
    """What measuring for `ddp.stats()` takes of a step: its calls alone, for they are too few to
    show in the times of whole steps.
    """
    recorder = type(model.reducer.recorder)()
    count, best = 2000, float("inf")
    for _ in range(5):
        start = time.perf_counter()
        for _ in range(count):
            recorder.began()
            for bucket in model.reducer.buckets:
                recorder.sent(bucket.nbytes)
            recorder.arrives()
            recorder.ends()
        best = min(best, (time.perf_counter() - start) / count)
    return {"us": best * 1e6, "percent": 100 * best / step_seconds}


def alone(kind: str, rounds: int, rendezvous: str) -> dict[str, Any]:
    """Wrapped beside not wrapped, on one rank: ours, and torch's."""
    bare, model = network(core.nn, kind), ddp.DistributedDataParallel(network(core.nn, kind))
    ours = stepper(core, model, kind), stepper(core, bare, kind)
    found = {"wrapped, beside bare, one rank": compared(*ours, STEPS[kind], rounds)}
    one, other = (torch_twin(kind, rendezvous, wrapped) for wrapped in (True, False))
    if one is not None and other is not None:
        found["the same of torch"] = compared(one, other, STEPS[kind], rounds)
    return found


def work(rounds: int, rendezvous: str, out: str) -> None:
    """What each rank does."""
    group = ddp.init_process_group()
    found: dict[str, Any] = {}
    for kind in tqdm(STEPS, disable=group.rank > 0):
        if group.size == 1:
            found[kind] = alone(kind, rounds, rendezvous)
        else:
            found[kind] = measured(kind, rounds, rendezvous)
    if group.rank == 0:
        Path(out).write_text(json.dumps(found))


def main(ranks: int, rounds: int, file: str | None) -> None:
    """Start the ranks, join what they found, and print it."""
    tables: dict[str, Any] = {}
    for size in (1, ranks):
        with tempfile.TemporaryDirectory() as folder:
            out, meeting = Path(folder) / "found.json", Path(folder) / "meeting"
            command = [sys.executable, "-m", "launch", "-n", str(size), "-q", __file__]
            options = ["--rounds", str(rounds), "--worker", str(meeting), str(out)]
            subprocess.run(command + options, check=True)
            for kind, rows in json.loads(out.read_text()).items():
                tables.setdefault(kind, {}).update(rows)
    for kind, rows in tables.items():
        print(kind)
        for name, row in rows.items():
            words = "  ".join(f"{key} {value:8.3f}" for key, value in row.items())
            print(f"  {name:32} {words}")
    if file:
        versions = {"python": platform.python_version(), "numpy": numpy.__version__}
        with contextlib.suppress(ImportError):
            import torch

            versions["torch"] = torch.__version__
        report = {"ranks": ranks, "cores": os.cpu_count(), "versions": versions, "steps": tables}
        Path(file).write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json")
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        work(given.rounds, *given.worker)
    else:
        main(given.ranks, given.rounds, given.json)
