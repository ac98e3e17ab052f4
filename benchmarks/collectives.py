"""All-reduce inside a node: ours beside plain MPI.Allreduce and, where PyTorch is installed, gloo.

python benchmarks/collectives.py [--ranks 2 4] [--sizes 1024 ...] [--json FILE]

Every size is measured in turns, ours, MPI's and gloo's, round after round in one job; a figure is
the median of the rounds, of the slowest rank, or the best round, where other programs run beside
this one. `unison` reduces arrays of the group's own
(`allocate`), as gradients are, `unison_any` arrays from elsewhere. `copy` is one copy of such an
array on every rank at once: an all-reduce reads and writes at least as many bytes.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

ROOT = pathlib.Path(__file__).parents[1]
SIZES = [1 << 10, 16 << 10, 256 << 10, 1 << 20, 4 << 20, 16 << 20, 64 << 20]
ROUNDS = 9
SMALL = 1 << 10


def gloo(store: str, rank: int, size: int) -> Any:
    """torch.distributed over gloo, or None where PyTorch is not installed."""
    try:
        import torch
        import torch.distributed as dist
    except ImportError:
        return None
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=size)
    return torch, dist


def seconds(run: Callable[[], Any], calls: int, wait: Callable[[], Any]) -> float:
    """Seconds per call."""
    run()
    wait()
    start = time.perf_counter()
    for _ in range(calls):
        run()
    return (time.perf_counter() - start) / calls


def in_turns(runs: dict[str, Callable[[], Any]], calls: int, comm: Any) -> dict[str, float]:
    """Microseconds per call of each, in rounds in which each has its turn: median, and best."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(ROUNDS):
        for name, run in runs.items():
            mine = seconds(run, calls, comm.Barrier)
            times[name].append(max(comm.allgather(mine)) * 1e6)
    medians = {name: statistics.median(values) for name, values in times.items()}
    return medians | {f"{name}_best": min(values) for name, values in times.items()}


def measure(store: str, sizes: list[int]) -> None:
    """What every rank runs; rank 0 prints the rows as JSON."""
    import numpy
    from mpi4py import MPI

    import ddp

    group = ddp.init_process_group()
    comm = MPI.COMM_WORLD
    peer = gloo(store, group.rank, group.size)
    rows = []
    for nbytes in sizes:
        count = nbytes // 4
        ours, second = group.allocate(count, "float32"), group.allocate(count, "float32")
        plain, out = numpy.ones(count, "float32"), numpy.empty(count, "float32")
        runs: dict[str, Callable[[], Any]] = {
            "unison": lambda a=ours: group.all_reduce(a, ddp.ReduceOp.AVG),
            "unison_any": lambda a=plain: group.all_reduce(a, ddp.ReduceOp.AVG),
            "function": lambda a=ours: ddp.all_reduce(a, ddp.ReduceOp.AVG),
            "mpi": lambda a=plain, b=out: comm.Allreduce(a, b),
            "copy": lambda a=second, b=ours: numpy.copyto(a, b),
        }
        if peer is not None:
            torch, dist = peer
            there = torch.ones(count)
            runs["gloo"] = lambda t=there, d=dist: d.all_reduce(t)
        calls = max(3, min(200, (16 << 20) // nbytes))
        rows.append({"bytes": nbytes} | in_turns(runs, calls, comm))
    told = {"rows": rows, "costs": costs(comm, group)}
    if group.rank == 0:
        print("ROWS " + json.dumps(told), flush=True)
    if peer is not None:
        peer[1].destroy_process_group()
    ddp.destroy_process_group()


def costs(comm: Any, group: Any) -> dict[str, float]:
    """Microseconds that an all-reduce of 1 KB by messages takes longer with each safety.

    By messages: in shared memory there is nothing without the comparison to compare with.
    """
    import numpy

    array = numpy.ones(SMALL // 4, "float32")
    kind: Any = type(group)
    board, bare = kind(comm, share=False), kind(comm, share=False, board=False)
    os.environ["UNISON_CHECK"] = "1"
    checked = kind(comm, share=False, board=False)
    del os.environ["UNISON_CHECK"]
    runs: dict[str, Callable[[], Any]] = {
        "bare": lambda: bare.all_reduce(array),
        "board": lambda: board.all_reduce(array),
        "check mode": lambda: checked.all_reduce(array),
        "deadline": lambda: bare.all_reduce(array, timeout=60.0),
    }
    times = in_turns(runs, 200, comm)
    for made in (board, bare, checked):
        made.close()
    bare_best = times["bare_best"]
    return {name: times[f"{name}_best"] - bare_best for name in runs if name != "bare"}


def job(ranks: int, sizes: list[int]) -> dict[str, Any]:
    """The rows and costs of one job of so many ranks."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "launch", "-q", "-n", str(ranks), __file__]
        done = subprocess.run(
            [*command, "--store", os.path.join(folder, "store"), "--sizes", *map(str, sizes)],
            env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
        )
    lines = [line for line in done.stdout.splitlines() if line.startswith("ROWS ")]
    if not lines:
        raise RuntimeError(done.stdout + done.stderr)
    return json.loads(lines[0][5:])


def show(ranks: int, told: dict[str, Any]) -> None:
    """Print tables with the ratios of the peers' time to ours, and what safety costs."""
    names = ["unison", "function", "unison_any", "copy", "mpi", "gloo"]
    for kind, suffix in (("median", ""), ("best", "_best")):
        print(f"{ranks} ranks: microseconds per all-reduce of float32 (AVG), {kind} of {ROUNDS}")
        print(f"{'bytes':>9} " + " ".join(f"{name:>10}" for name in names) + "  mpi/u  gloo/u")
        for row in told["rows"]:
            times = [row.get(name + suffix, float("nan")) for name in names]
            print(
                f"{int(row['bytes']):9d} "
                + " ".join(f"{time:10.1f}" for time in times)
                + f" {times[4] / times[0]:6.1f} {times[5] / times[0]:7.1f}"
            )
    print("by messages, 1 KB: ", end="")
    print(", ".join(f"{name} {cost:+.1f} us" for name, cost in told["costs"].items()))


def main() -> None:
    """Start the jobs, print the tables, store them where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ranks", type=int, nargs="+", default=[2, 4])
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--json")
    parser.add_argument("--store", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.store:
        measure(options.store, options.sizes)
        return
    tables = {}
    for ranks in options.ranks:
        tables[ranks] = job(ranks, options.sizes)
        show(ranks, tables[ranks])
    if options.json:
        machine = (
            f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
        )
        with open(options.json, "w") as file:
            json.dump({"machine": machine, "tables": tables}, file, indent=1)


if __name__ == "__main__":
    main()
