"""Microseconds per small op, forward and forward + backward, beside PyTorch when it is installed.

python benchmarks/overhead.py [--repeat 100] [--wide] [--only WORD] [--json FILE]

Every op works on 10 float32 numbers (matrices are 4 x 4), so the time is overhead, not arithmetic.
Ours and PyTorch's are timed in turn, round after round in one process on one thread; a figure is
the least of all rounds, which other work on the machine disturbs least, and the ratio is that of
the two figures. The first table chains each op ten times; with --wide, a second one takes many more
ops, ten times beside each other.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy
import small_ops

import core

CALLS = 10  # so few that a round mostly ends before another process is let in
LENGTH = 10  # ops in one chain, or beside each other
Step = Callable[[Any], Any]


class Row(NamedTuple):
    """One op: a tensor, and what is done to it; without `both`, it has no backward."""

    name: str
    leaf: Any
    step: Step
    both: bool = True
    chained: bool = False


def chains(lib: Any, vector: Callable[..., Any]) -> list[Row]:
    """The ops that are applied to their own results."""
    w, y = vector(10).requires_grad_(), vector(10)
    m, k = vector(4, 4).requires_grad_(), vector(4, 4)
    steps: dict[str, tuple[Any, Step]] = {
        "x + y": (w, lambda v: v + y),
        "x * y": (w, lambda v: v * y),
        "x * 2.0": (w, lambda v: v * 2.0),
        "x - y": (w, lambda v: v - y),
        "x / y": (w, lambda v: v / y),
        "x + x": (w, lambda v: v + v),
        "tanh": (w, lambda v: v.tanh()),
        "exp(-x)": (w, lambda v: (-v).exp()),
        "relu": (w, lambda v: v.relu()),
        "m @ k": (m, lambda v: v @ k),
        "m.t()": (m, lambda v: v.t()),
        "reshape": (m, lambda v: v.reshape(2, 8).reshape(4, 4)),
        "m[0:4]": (m, lambda v: v[0:4]),
    }
    rows = [Row(name, *step, chained=True) for name, step in steps.items()]
    return [*rows, Row("sum", w, lambda v: v.sum())]


def wide(lib: Any, vector: Callable[..., Any]) -> list[Row]:
    """Many more, each applied to one tensor again and again."""
    every = small_ops.expressions(lib, vector)
    return [Row(text, leaf, step, both=leaf.requires_grad) for text, leaf, step in every]


def timed(run: Callable[[], Any]) -> float:
    """Microseconds of one op, averaged over CALLS."""
    start = time.perf_counter()
    for _ in range(CALLS):
        run()
    return (time.perf_counter() - start) / (CALLS * LENGTH) * 1e6


def forward(lib: Any, row: Row) -> Callable[[], Any]:
    """The op LENGTH times without recording."""
    step, leaf = row.step, row.leaf

    def beside() -> None:
        with lib.no_grad():
            for _ in range(LENGTH):
                step(leaf)

    def chained() -> None:
        v = leaf
        with lib.no_grad():
            for _ in range(LENGTH):
                v = step(v)

    return chained if row.chained else beside


def both(lib: Any, row: Row) -> Callable[[], Any]:
    """The op LENGTH times, recorded, and one backward."""
    step, leaf = row.step, row.leaf
    g = lib.ones_like(step(leaf).detach())
    gs = [g] * LENGTH

    def beside() -> None:
        leaf.grad = None
        lib.autograd.backward([step(leaf) for _ in range(LENGTH)], gs)

    def chained() -> None:
        leaf.grad = None
        v = leaf
        for _ in range(LENGTH):
            v = step(v)
        v.backward(g)

    return chained if row.chained else beside


def tables(make: Callable[..., list[Row]]) -> list[tuple[str, Any, list[Row]]]:
    """The rows of `make` for Unison, and for PyTorch where it is installed, on equal numbers."""
    found = []
    for name, lib in LIBRARIES.items():
        numbers = numpy.random.default_rng(0)

        def vector(*shape: int, lib: Any = lib, numbers: Any = numbers) -> Any:
            return lib.from_numpy(numbers.normal(size=shape).astype("float32"))

        found.append((name, lib, make(lib, vector)))
    return found


def measure(make: Callable[..., list[Row]], repeat: int, only: str) -> list[dict[str, Any]]:
    """One row per op: our microseconds, PyTorch's, and the ratio, forward and with backward."""
    libs = tables(make)
    rows = []
    for n, op in enumerate(libs[0][2]):
        if only not in op.name:
            continue
        for kind, run_of in (("forward", forward), ("both", both))[: 1 + op.both]:
            runs = [(name, run_of(lib, table[n])) for name, lib, table in libs]
            rows.append({"op": op.name, "kind": kind} | compared(runs, repeat))
    return rows


def compared(runs: list[tuple[str, Callable[[], Any]]], repeat: int) -> dict[str, float]:
    """The least time of each, and the ratio of the first to the second."""
    times: dict[str, list[float]] = {name: [] for name, _ in runs}
    for _ in range(repeat + 1):
        for name, run in runs:
            times[name].append(timed(run))
    row = {name: min(t[1:]) for name, t in times.items()}  # the first round warms up
    if len(runs) > 1:
        ours, theirs = row.values()
        row["ratio"] = ours / theirs
    return row


def show(rows: list[dict[str, Any]]) -> None:
    """Print a table: one line per op, then what its ratios are together."""
    names = list(dict.fromkeys(row["op"] for row in rows))
    found = {(row["op"], row["kind"]): row for row in rows}
    print(f"{'':26s} {'forward':>24s}   {'forward + backward':>24s}")
    print(f"{'us per op':26s}" + 2 * f" {'unison':>8s} {'torch':>8s} {'ratio':>6s}  ")
    for name in names:
        cells = [found.get((name, kind)) for kind in ("forward", "both")]
        print(
            f"{name:26.26s}" + "".join(" " * 27 if c is None else cell(c) for c in cells).rstrip()
        )
    for kind in ("forward", "both"):
        ratios = {r["op"]: r["ratio"] for r in rows if r["kind"] == kind and "ratio" in r}
        if ratios:
            above = sorted((r for r in ratios if ratios[r] > 1), key=ratios.__getitem__)
            mean = statistics.geometric_mean(ratios.values())
            print(f"{kind}: geometric mean {mean:.2f} of {len(ratios)}, above 1: {len(above)}")
            print("  " + ", ".join(f"{r} {ratios[r]:.2f}" for r in reversed(above)))


def cell(row: dict[str, Any]) -> str:
    """One kind of one op as the table shows it."""
    torch, ratio = row.get("torch", float("nan")), row.get("ratio", float("nan"))
    return f" {row['unison']:8.2f} {torch:8.2f} {ratio:6.2f}  "


LIBRARIES: dict[str, Any] = {"unison": core}


def with_torch() -> None:
    """Measure PyTorch too, on one thread."""
    try:
        import torch

        torch.set_num_threads(1)
        LIBRARIES["torch"] = torch
    except ImportError:
        print("PyTorch is not installed: our figures only")


def main() -> None:
    """Print the tables; write them as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=100, help="rounds of each measurement")
    parser.add_argument("--wide", action="store_true", help="many more ops")
    parser.add_argument("--only", default="", metavar="WORD", help="ops whose name holds this")
    parser.add_argument("--json", metavar="FILE")
    options = parser.parse_args()
    with_torch()
    rows = measure(chains, options.repeat, options.only)
    if rows:
        show(rows)
    if options.wide:
        more = measure(wide, options.repeat, options.only)
        print()
        show(more)
        rows += more
    if options.json:
        machine = (
            f"{platform.machine()}, Python {platform.python_version()}, NumPy {numpy.__version__}"
        )
        with open(options.json, "w") as file:
            json.dump({"machine": machine, "rows": rows}, file, indent=1)


if __name__ == "__main__":
    main()
