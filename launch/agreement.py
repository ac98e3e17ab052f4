"""What the ranks agree on before a script starts: what they run, and who has which device."""

import os
from dataclasses import dataclass

from launch import devices, handshake, report, script
from launch.mpi import Team
from launch.options import Options
from launch.script import Script
from launch.status import UsageError

# How much longer than the watchdog a process group waits in a collective.
LATER = 10.0


@dataclass(frozen=True, slots=True)
class Peer:
    """A rank as others of its node need to know it: its process, and where it keeps its stacks."""

    rank: int
    pid: int
    stacks: int
    node: int


@dataclass(frozen=True, slots=True)
class Agreement:
    """The result: the host of each rank, the device of each rank, the ranks of this node."""

    hosts: list[str]
    devices: list[str]
    peers: list[Peer]


def agree(team: Team, options: Options, wanted: Script, stacks: int) -> Agreement:
    """Compare what the ranks run and share out the devices.

    Raises: UsageError, the same on every rank.
    """
    _find_script(team, wanted)
    size, node = team.world.size, team.world.node
    if options.shards % size:
        raise UsageError(
            f"--shards {options.shards} cannot be shared by {size} ranks: the number of ranks must "
            "divide it"
        )
    _find_place(team, options.trace)
    hosts = team.gather(os.uname().nodename)
    if size > 1:
        if odd := handshake.difference(team.gather(handshake.facts(options)), hosts):
            raise UsageError(odd)
    used = _share_devices(team, options, hosts)
    me = Peer(team.world.rank, os.getpid(), stacks, node)
    return Agreement(hosts, used, [peer for peer in team.gather(me) if peer.node == node])


def exported(team: Team, options: Options, agreement: Agreement, salt: str) -> dict[str, str]:
    """The variables that scripts read, torchrun's among them.

    Nothing of ours listens anywhere: the port is a number that differs from job to job.
    """
    world, hosts = team.world, agreement.hosts
    nodes = list(dict.fromkeys(hosts))
    found = {
        "RANK": str(world.rank),
        "WORLD_SIZE": str(world.size),
        "LOCAL_RANK": str(world.local_rank),
        "LOCAL_WORLD_SIZE": str(world.local_size),
        "GROUP_RANK": str(nodes.index(hosts[world.rank])),
        "GROUP_WORLD_SIZE": str(len(nodes)),
        "UNISON_DEVICE": agreement.devices[world.rank],
    }
    if options.timeout != Options().timeout:
        # Later than the watchdog, which has the stacks of all ranks.
        later = options.timeout and options.timeout + LATER
        found["UNISON_TIMEOUT"] = f"{later!r}"
    if options.shards:
        found["UNISON_SHARDS"] = str(options.shards)
    if options.check:
        found["UNISON_CHECK"] = "1"
    if options.device == "cpu":
        # Scripts ask whether there is a GPU: all ranks would compute on the first one.
        found.update(CUDA_VISIBLE_DEVICES="", UNISON_SIMULATED_GPUS="0")
    port = team.gather(20_000 + report.digest(salt) % 40_000)[0]
    address = "127.0.0.1" if len(nodes) == 1 else nodes[0]
    found["MASTER_ADDR"] = os.environ.get("MASTER_ADDR", address)
    found["MASTER_PORT"] = os.environ.get("MASTER_PORT", str(port))
    return found


def _find_script(team: Team, wanted: Script) -> None:
    problems = team.gather(script.problem(wanted))
    bad = [rank for rank, problem in enumerate(problems) if problem]
    if bad:
        where = "" if len(bad) == team.world.size else f" on {report.ranks_text(bad)}"
        raise UsageError(f"{problems[bad[0]]}{where}")


def _find_place(team: Team, path: str) -> None:
    # Before the first step: a training of hours must not find out at its end.
    problem = ""
    if path and team.world.rank == 0:
        try:
            with open(path, "ab"):
                pass
        except OSError as error:
            problem = f"cannot write the trace {path!r}: {error.strerror}"
    if problem := team.gather(problem)[0]:
        raise UsageError(problem)


def _share_devices(team: Team, options: Options, hosts: list[str]) -> list[str]:
    gpus = devices.visible(os.environ)
    device, problem = "cpu", ""
    try:
        device = devices.choose(gpus, team.world.local_rank, team.world.local_size, options.device)
        if device != "cpu" and (team.world.size > 1 or options.device == "cuda"):
            devices.require_cupy(os.environ)
    except UsageError as error:
        problem = str(error)
    if problems := [found for found in team.gather(problem) if found]:
        raise UsageError(problems[0])
    used = gpus[int(device.removeprefix("cuda:"))] if device != "cpu" else ""
    if twice := devices.duplicate(list(zip(hosts, team.gather(used)))):
        raise UsageError(twice)
    return team.gather(device)
