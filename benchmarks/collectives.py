"""All-reduce inside a node: ours beside plain MPI.Allreduce and, where PyTorch is installed, gloo.

python benchmarks/collectives.py [--ranks 2 4] [--json FILE]

Every size is measured in turns, ours, MPI's and gloo's, round after round in one job; a figure is
the median of the rounds, of the slowest rank. Arrays are the group's own (`allocate`), as gradients
are.
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
ROUNDS = 7


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


def measure(store: str) -> None:
    """What every rank runs; rank 0 prints the rows as JSON."""
    import numpy
    from mpi4py import MPI

    import ddp

    group = ddp.init_process_group()
    comm = MPI.COMM_WORLD
    peer = gloo(store, group.rank, group.size)
    rows = []
    for nbytes in SIZES:
        count = nbytes // 4
        ours = group.allocate(count, "float32")
        plain, out = numpy.ones(count, "float32"), numpy.empty(count, "float32")
        runs: dict[str, Callable[[], Any]] = {
            "unison": lambda a=ours: group.all_reduce(a, ddp.ReduceOp.AVG),
            "unison_any": lambda a=plain: group.all_reduce(a, ddp.ReduceOp.AVG),
            "mpi": lambda a=plain, b=out: comm.Allreduce(a, b),
        }
        if peer is not None:
            torch, dist = peer
            there = torch.ones(count)
            runs["gloo"] = lambda t=there, d=dist: d.all_reduce(t)
        calls = max(3, min(200, (16 << 20) // nbytes))
        times: dict[str, list[float]] = {name: [] for name in runs}
        for _ in range(ROUNDS):
            for name, run in runs.items():
                mine = seconds(run, calls, comm.Barrier)
                times[name].append(comm.allreduce(mine, op=MPI.MAX) * 1e6)
        rows.append({"bytes": nbytes} | {k: statistics.median(v) for k, v in times.items()})
    if group.rank == 0:
        print("ROWS " + json.dumps(rows), flush=True)
    if peer is not None:
        peer[1].destroy_process_group()
    ddp.destroy_process_group()


def job(ranks: int) -> list[dict[str, float]]:
    """The rows of one job of so many ranks."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "launch", "-q", "-n", str(ranks), __file__]
        done = subprocess.run(
            [*command, "--store", os.path.join(folder, "store")],
            env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
        )
    lines = [line for line in done.stdout.splitlines() if line.startswith("ROWS ")]
    if not lines:
        raise RuntimeError(done.stdout + done.stderr)
    return json.loads(lines[0][5:])


def show(ranks: int, rows: list[dict[str, float]]) -> None:
    """Print a table with the ratios of the peers' time to ours."""
    print(f"{ranks} ranks: microseconds per all-reduce of float32 (AVG)")
    print(
        f"{'bytes':>9} {'unison':>10} {'any array':>10} {'MPI':>10} {'gloo':>10}"
        f" {'MPI/u':>6} {'gloo/u':>7}"
    )
    for row in rows:
        mpi, other = row["mpi"], row.get("gloo", float("nan"))
        print(
            f"{int(row['bytes']):9d} {row['unison']:10.1f} {row['unison_any']:10.1f} {mpi:10.1f}"
            f" {other:10.1f} {mpi / row['unison']:6.1f} {other / row['unison']:7.1f}"
        )


def main() -> None:
    """Start the jobs, print the tables, store them where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ranks", type=int, nargs="+", default=[2, 4])
    parser.add_argument("--json")
    parser.add_argument("--store", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.store:
        measure(options.store)
        return
    tables = {}
    for ranks in options.ranks:
        tables[ranks] = job(ranks)
        show(ranks, tables[ranks])
    if options.json:
        machine = (
            f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
        )
        with open(options.json, "w") as file:
            json.dump({"machine": machine, "tables": tables}, file, indent=1)


if __name__ == "__main__":
    main()
