"""The start line: who runs where, and what is wrong with it."""

import os

from launch import cores, mpi, report
from launch.agreement import Agreement
from launch.mpi import Team
from launch.options import Options


def announce(team: Team, options: Options, agreement: Agreement, starter: int) -> None:
    """Write the start line from rank 0, and one line for ranks that are bound badly."""
    complaints = team.gather(cores.complaint(cores.mine(), cores.of_process(starter)))
    if options.quiet or team.world.rank:
        return
    report.say(f"launch: {start_line(team, options, agreement)}\n")
    bad = [rank for rank, text in enumerate(complaints) if text]
    if bad:
        report.say(f"launch: {report.ranks_text(bad)}: {complaints[bad[0]]}\n")


def start_line(team: Team, options: Options, agreement: Agreement) -> str:
    """Ranks, hosts, MPI, devices, threads and shards in one line."""
    hosts = list(dict.fromkeys(agreement.hosts))
    size = team.world.size
    threads = os.environ.get("OMP_NUM_THREADS", "")
    parts = [
        f"{_count(size, 'rank')} on {_count(len(hosts), 'host')}",
        mpi.version() if team.has_mpi else "no MPI",
        _devices(agreement.devices),
        (f"{_count(int(threads), 'thread')} per rank on " if threads.isdigit() else "")
        + f"cores {report.runs_text(cores.mine())}",
    ]
    if options.shards:
        parts.append(f"{options.shards} shards")
    return ", ".join(parts)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _devices(devices: list[str]) -> str:
    numbers = [int(name.removeprefix("cuda:")) for name in devices if name != "cpu"]
    if not numbers:
        return "cpu"
    return f"cuda:{report.runs_text(list(dict.fromkeys(numbers)))}"
