"""Microseconds per small op, forward and forward + backward, beside PyTorch when it is installed.

python benchmarks/overhead.py [--repeat 30] [--json FILE]

Every op works on 10 float32 numbers (matrices are 4 x 4), so the time is overhead, not arithmetic.
Ours and PyTorch's are timed in turn, round after round in one process on one thread; a figure is
the least of all rounds, the ratio the median over rounds of ours divided by theirs.
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

CALLS = 200
LENGTH = 10  # ops in one chain


def chains(lib: Any, vector: Callable[..., Any]) -> dict[str, tuple[Any, Callable[[Any], Any]]]:
    """For each name: a leaf, and a function that applies one op LENGTH times to it."""
    x, w, y = vector((10,)), vector((10,)), vector((10,))
    m, k = vector((4, 4)), vector((4, 4))
    w.requires_grad_()
    m.requires_grad_()

    def chain(step: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def run(v: Any) -> Any:
            for _ in range(LENGTH):
                v = step(v)
            return v

        return run

    return {
        "x + y": (w, chain(lambda v: v + y)),
        "x * y": (w, chain(lambda v: v * y)),
        "x * 2.0": (w, chain(lambda v: v * 2.0)),
        "x - y": (w, chain(lambda v: v - y)),
        "x / y": (w, chain(lambda v: v / y)),
        "x + x": (w, chain(lambda v: v + v)),
        "tanh": (w, chain(lambda v: v.tanh())),
        "exp": (w, chain(lambda v: (-v).exp())),
        "relu": (w, chain(lambda v: v.relu())),
        "m @ k": (m, chain(lambda v: v @ k)),
        "m.t()": (m, chain(lambda v: v.t())),
        "reshape": (m, chain(lambda v: v.reshape(2, 8).reshape(4, 4))),
        "m[1:3]": (m, chain(lambda v: v[0:4])),
        "sum": (w, lambda v: [(v.sum(), x)[0] for _ in range(LENGTH)][-1]),
    }


def timed(run: Callable[[], Any]) -> float:
    """Microseconds of one call, averaged over CALLS."""
    start = time.perf_counter()
    for _ in range(CALLS):
        run()
    return (time.perf_counter() - start) / CALLS * 1e6


def forward(lib: Any, leaf: Any, chain: Callable[[Any], Any]) -> Callable[[], Any]:
    """The chain without recording."""

    def run() -> None:
        with lib.no_grad():
            chain(leaf)

    return run


def both(lib: Any, leaf: Any, chain: Callable[[Any], Any]) -> Callable[[], Any]:
    """The chain recorded, and its backward."""
    g = lib.ones_like(chain(leaf).detach())

    def run() -> None:
        leaf.grad = None
        chain(leaf).backward(g)

    return run


def measure(repeat: int) -> list[dict[str, Any]]:
    """One row per op: our microseconds, PyTorch's, and the ratio, forward and with backward."""
    numbers = numpy.random.default_rng(0)

    def ours(shape: tuple[int, ...]) -> Any:
        return core.from_numpy(numbers.normal(size=shape).astype("float32"))

    libs: list[tuple[str, Any, Any]] = [("unison", core, ours)]
    try:
        import torch

        torch.set_num_threads(1)
        libs.append(("torch", torch, lambda shape: torch.from_numpy(ours(shape).numpy())))
    except ImportError:
        print("PyTorch is not installed: our figures only")
    tables = [(name, lib, chains(lib, vector)) for name, lib, vector in libs]
    rows = []
    for op in tables[0][2]:
        for kind, make in (("forward", forward), ("both", both)):
            runs = [(name, make(lib, *table[op])) for name, lib, table in tables]
            times: dict[str, list[float]] = {name: [] for name, _ in runs}
            for _ in range(repeat):
                for name, run in runs:
                    times[name].append(timed(run) / LENGTH)
            row = {"op": op, "kind": kind} | {name: min(t) for name, t in times.items()}
            if len(runs) > 1:
                pairs = zip(times["unison"], times["torch"], strict=True)
                row["ratio"] = statistics.median(a / b for a, b in pairs)
            rows.append(row)
    return rows


def main() -> None:
    """Print the table; write it as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=30)
    parser.add_argument("--json")
    options = parser.parse_args()
    rows = measure(options.repeat)
    print(f"{'op':10s} {'kind':8s} {'unison us':>10s} {'torch us':>10s} {'ratio':>6s}")
    for row in rows:
        torch_us, ratio = row.get("torch", float("nan")), row.get("ratio", float("nan"))
        print(
            f"{row['op']:10s} {row['kind']:8s} {row['unison']:10.2f} {torch_us:10.2f} {ratio:6.2f}"
        )
    for kind in ("forward", "both"):
        ratios = [row["ratio"] for row in rows if row["kind"] == kind and "ratio" in row]
        if ratios:
            print(f"{kind}: geometric mean of the ratios {statistics.geometric_mean(ratios):.2f}")
    if options.json:
        machine = (
            f"{platform.machine()}, Python {platform.python_version()}, NumPy {numpy.__version__}"
        )
        with open(options.json, "w") as file:
            json.dump({"machine": machine, "rows": rows}, file, indent=1)


if __name__ == "__main__":
    main()
