"""Milliseconds per whole training step on one CPU core, beside PyTorch when it is installed.

python benchmarks/steps.py [--repeat 15] [--only NAME] [--json FILE]

A step is zero_grad, forward, loss, backward and optimizer step, on data that is already there. The
same text runs with ours and with PyTorch, in turn, round after round in one process on one thread;
a figure is the least of all rounds, the ratio the median over rounds of ours divided by theirs.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
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
    """Milliseconds of one step, averaged over `count`."""
    start = time.process_time()
    for _ in range(count):
        step()
    return (time.process_time() - start) / count * 1e3


def measure(name: str, libs: dict[str, Any], repeat: int) -> dict[str, Any]:
    """Our milliseconds per step, PyTorch's, and the ratio."""
    steps = {of: step_of(lib, name) for of, lib in libs.items()}
    once = max(timed(step, 2) for step in steps.values())
    count = max(1, int(SECONDS * 1e3 / once))
    times: dict[str, list[float]] = {of: [] for of in steps}
    for _ in range(repeat):
        for of, step in steps.items():
            times[of].append(timed(step, count))
    row: dict[str, Any] = {"step": name} | {of: min(t) for of, t in times.items()}
    if "torch" in times:
        pairs = zip(times["unison"], times["torch"], strict=True)
        row["ratio"] = statistics.median(a / b for a, b in pairs)
    return row


def libraries() -> dict[str, Any]:
    """Ours, and PyTorch on one thread where it is installed."""
    libs: dict[str, Any] = {"unison": core}
    try:
        import torch

        torch.set_num_threads(1)
        libs["torch"] = torch
    except ImportError:
        print("PyTorch is not installed: our figures only")
    return libs


def main() -> None:
    """Print the table; write it as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=15)
    parser.add_argument("--only", choices=STEPS)
    parser.add_argument("--json")
    options = parser.parse_args()
    libs, rows = libraries(), []
    print(f"{'step':12s} {'unison ms':>10s} {'torch ms':>10s} {'ratio':>6s}")
    for name in [options.only] if options.only else STEPS:
        row = measure(name, libs, options.repeat)
        rows.append(row)
        theirs, ratio = row.get("torch", float("nan")), row.get("ratio", float("nan"))
        print(f"{name:12s} {row['unison']:10.2f} {theirs:10.2f} {ratio:6.2f}", flush=True)
    if options.json:
        machine = (
            f"{platform.machine()}, Python {platform.python_version()}, NumPy {numpy.__version__}"
        )
        with open(options.json, "w") as file:
            json.dump({"machine": machine, "rows": rows}, file, indent=1)


if __name__ == "__main__":
    main()
