"""Milliseconds of CPU time per training step on one core, beside PyTorch when it is installed.

python benchmarks/steps.py [--repeat 15] [--only NAME] [--json FILE]

A step is zero_grad, forward, loss, backward and optimizer step, on data that is already there. The
same text runs with ours and with PyTorch, each in a process and on a thread of its own, in turn,
round after round; a figure is the least of all rounds, the ratio the median over rounds of ours
divided by theirs. CPU time, so that what else runs on the machine does not count.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy

import core

SECONDS = 0.25  # of one library in one round


def mlp(lib: Any) -> tuple[Any, Any]:
    """784-256-256-10 with ReLU, and SGD with momentum."""
    nn = lib.nn
    model = nn.Sequential(
        nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10)
    )
    return model, lib.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)


def digits_cnn(lib: Any) -> tuple[Any, Any]:
    """Two convolutions with padding on 8 x 8 images, pooled, and Adam."""
    nn = lib.nn
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(128, 10),
    )
    return model, lib.optim.Adam(model.parameters(), lr=1e-3)


def mnist_cnn(lib: Any) -> tuple[Any, Any]:
    """The network of PyTorch's MNIST example, with its dropouts and Adadelta."""
    nn = lib.nn
    model = nn.Sequential(
        nn.Conv2d(1, 32, 3),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Dropout(0.25),
        nn.Flatten(),
        nn.Linear(9216, 128),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(128, 10),
    )
    return model, lib.optim.Adadelta(model.parameters(), lr=1.0)


def norm_cnn(lib: Any) -> tuple[Any, Any]:
    """A convolution, batch norm, and a block of two more with a stride, on 3 x 32 x 32 images."""
    nn = lib.nn
    model = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.Conv2d(32, 32, 3, padding=1, bias=False),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(32, 10),
    )
    return model, lib.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)


def gpt(lib: Any) -> tuple[Any, Any]:
    """Two blocks of causal attention, 64 wide, for 27 letters in texts of 64, and AdamW."""
    nn, width, heads, length, letters = lib.nn, 64, 4, 64, 27

    class Block(nn.Module):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
            self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
            up, down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
            self.mlp = nn.Sequential(up, nn.GELU(), down)

        def forward(self, x: Any) -> Any:
            n, size, _ = x.shape
            qkv = self.qkv(self.norm1(x)).view(n, size, 3, heads, width // heads)
            q, k, v = qkv.permute(2, 0, 3, 1, 4)
            seen = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.proj(seen.transpose(1, 2).reshape(n, size, width))
            return x + self.mlp(self.norm2(x))

    class GPT(nn.Module):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            super().__init__()
            self.tokens = nn.Embedding(letters, width)
            self.places = nn.Parameter(lib.randn(length, width))
            self.blocks = nn.Sequential(Block(), Block())
            self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, letters)

        def forward(self, x: Any) -> Any:
            x = self.tokens(x) + self.places[: x.shape[1]]
            return self.head(self.norm(self.blocks(x))).flatten(0, 1)

    model = GPT()
    return model, lib.optim.AdamW(model.parameters(), lr=1e-3)


# Each with the shape of its input (None: letters), the number of classes, and of targets.
STEPS: dict[str, tuple[Callable[[Any], tuple[Any, Any]], Any, int, int]] = {
    "mlp": (mlp, (64, 784), 10, 64),
    "digits_cnn": (digits_cnn, (64, 1, 8, 8), 10, 64),
    "mnist_cnn": (mnist_cnn, (64, 1, 28, 28), 10, 64),
    "norm_cnn": (norm_cnn, (32, 3, 32, 32), 10, 32),
    "gpt": (gpt, None, 27, 32 * 64),
}


def step_of(lib: Any, name: str) -> Callable[[], Any]:
    """A function that does one training step of a new model with a library."""
    make, shape, classes, rows = STEPS[name]
    numbers = numpy.random.default_rng(0)
    if shape is None:
        x = lib.from_numpy(numbers.integers(0, classes, (32, 64)))
    else:
        x = lib.from_numpy(numbers.standard_normal(shape).astype("float32"))
    target = lib.from_numpy(numbers.integers(0, classes, rows))
    lib.manual_seed(0)
    model, optimizer = make(lib)

    def step() -> Any:
        optimizer.zero_grad()
        loss = lib.nn.functional.cross_entropy(model(x), target)
        loss.backward()
        optimizer.step()
        return loss

    return step


def timed(step: Callable[[], Any], count: int) -> float:
    """Milliseconds of CPU time of one step, averaged over `count`."""
    start = time.process_time()
    for _ in range(count):
        step()
    return (time.process_time() - start) / count * 1e3


class Worker:
    """A process that times the steps of one library when it is asked to."""

    def __init__(self, of: str) -> None:
        command = [sys.executable, __file__, "--worker", of]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)

    def timed(self, name: str, count: int) -> float:
        """Milliseconds of one step, averaged over `count`.

        Raises: RuntimeError if the process ended.
        """
        questions: Any = self.process.stdin
        answers: Any = self.process.stdout
        questions.write(f"{name} {count}\n")
        questions.flush()
        answer = answers.readline()
        if not answer:
            raise RuntimeError(f"the process that was to time {name} ended")
        return float(answer)

    def close(self) -> None:
        """End the process."""
        self.process.communicate()


def work(of: str) -> None:
    """Answer what a `Worker` is asked."""
    lib: Any = core
    if of == "torch":
        import torch

        torch.set_num_threads(1)
        lib = torch
    steps: dict[str, Callable[[], Any]] = {}
    for line in sys.stdin:
        name, count = line.split()
        if name not in steps:
            steps[name] = step_of(lib, name)
        print(timed(steps[name], int(count)), flush=True)


def measure(name: str, workers: dict[str, Worker], repeat: int) -> dict[str, Any]:
    """Our milliseconds per step, PyTorch's, and the ratio."""
    for worker in workers.values():
        worker.timed(name, 2)  # the first steps warm up
    once = max(worker.timed(name, 2) for worker in workers.values())
    count = max(1, int(SECONDS * 1e3 / once))
    times: dict[str, list[float]] = {of: [] for of in workers}
    for _ in range(repeat):
        for of, worker in workers.items():
            times[of].append(worker.timed(name, count))
    row: dict[str, Any] = {"step": name} | {of: min(t) for of, t in times.items()}
    if "torch" in times:
        pairs = zip(times["unison"], times["torch"], strict=True)
        row["ratio"] = statistics.median(a / b for a, b in pairs)
    return row


def peers() -> dict[str, Worker]:
    """A worker of ours, and one of PyTorch's where it is installed."""
    workers = {"unison": Worker("unison")}
    if importlib.util.find_spec("torch") is None:
        print("PyTorch is not installed: our figures only")
    else:
        workers["torch"] = Worker("torch")
    return workers


def main() -> None:
    """Print the table; write it as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=15)
    parser.add_argument("--only", choices=STEPS)
    parser.add_argument("--json")
    parser.add_argument("--worker", choices=("unison", "torch"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        work(options.worker)
        return
    workers = peers()
    try:
        rows = table([options.only] if options.only else list(STEPS), workers, options.repeat)
    finally:
        for worker in workers.values():
            worker.close()
    if options.json:
        machine = (
            f"{platform.machine()}, Python {platform.python_version()}, NumPy {numpy.__version__}"
        )
        with open(options.json, "w") as file:
            json.dump({"machine": machine, "rows": rows}, file, indent=1)


def table(names: list[str], workers: dict[str, Worker], repeat: int) -> list[dict[str, Any]]:
    """The rows of these steps, printed as they come."""
    rows = []
    print(f"{'step':12s} {'unison ms':>10s} {'torch ms':>10s} {'ratio':>6s}")
    for name in names:
        row = measure(name, workers, repeat)
        rows.append(row)
        theirs, ratio = row.get("torch", float("nan")), row.get("ratio", float("nan"))
        print(f"{name:12s} {row['unison']:10.2f} {theirs:10.2f} {ratio:6.2f}", flush=True)
    return rows


if __name__ == "__main__":
    main()
