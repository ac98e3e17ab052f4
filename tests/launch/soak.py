"""Random faults in random ranks at random steps: `python -m tests.launch.soak [ROUNDS] [SEED]`.

Each round must end by itself with its status, exactly one report and nothing left, or, when
the fault is "none", with status 0 and silence. One line per round; the time is from fault to end.
"""

import argparse
import pathlib
import random
import sys
import tempfile
from dataclasses import dataclass

from tests.launch.jobs import FAULTS, Ended, run

# Kind: the statuses it may have. A killed supervisor leaves the word to mpirun.
CODES = {
    "none": (0,),
    "raise": (1,),
    "all": (1,),
    "memory": (1,),
    "thread": (1,),
    "worker": (1,),
    "exit3": (3,),
    "exit0": (67,),
    "_exit3": (3,),
    "_exit0": (70,),
    "kill": (137,),
    "segv": (139,),
    "abort": (134,),
    "term": (143,),
    "int": (130,),
    "sleep": (68,),
    "stop": (68,),
    "gil": (68,),
    "mismatch": (66,),
    "supervisor": (9, 137),
}


def problems(kind: str, ended: Ended) -> list[str]:
    """What is wrong with the end of a round."""
    found = []
    if ended.code not in CODES[kind]:
        found.append(f"status {ended.code}")
    expected = 0 if kind in ("none", "supervisor") else 1
    if len(ended.reports) != expected:
        found.append(f"{len(ended.reports)} reports")
    if ended.tracebacks > 1:
        found.append(f"{ended.tracebacks} tracebacks")
    found += [f"process {pid} lives" for pid in ended.alive]
    found += [f"{name} is left" for name in ended.litter]
    return found


@dataclass(frozen=True)
class Round:
    """What was done, how long the end took, what was wrong, and what the job said."""

    kind: str
    text: str
    seconds: float
    wrong: list[str]
    said: str


def one_round(draw: random.Random, folder: pathlib.Path) -> Round:
    """One random fault in a job of 2 to 4 ranks."""
    kind = draw.choice(sorted(CODES))
    ranks = draw.randint(2, 4)
    bad, step = draw.randrange(ranks), draw.randrange(1, 40)
    words = [FAULTS, kind, bad, step, *([60] if kind == "none" else [])]
    ended = run(folder, ranks, *words, options=["--timeout", "2"])
    stamps = [float(path.read_text()) for path in folder.glob("fault.*")]
    seconds = ended.at - min(stamps) if stamps else 0.0
    text = f"{kind} in rank {bad} of {ranks} at step {step}: status {ended.code}, {seconds:.2f} s"
    return Round(kind, text, seconds, problems(kind, ended), ended.err)


def main() -> int:
    """The number of rounds that went wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rounds", type=int, nargs="?", default=90)
    parser.add_argument("seed", type=int, nargs="?", default=0)
    arguments = parser.parse_args()
    draw = random.Random(arguments.seed)
    rounds: list[Round] = []
    for number in range(arguments.rounds):
        with tempfile.TemporaryDirectory() as folder:
            done = one_round(draw, pathlib.Path(folder))
        rounds.append(done)
        print(f"{number + 1}: {done.text}", *done.wrong, sep="; ", flush=True)
        if done.wrong:
            print(done.said, flush=True)
    wrong = sum(bool(done.wrong) for done in rounds)
    print(f"{len(rounds) - wrong} of {len(rounds)} rounds ended as they must")
    for kind in CODES:
        times = sorted(done.seconds for done in rounds if done.kind == kind)
        if times:
            print(f"{kind:<11} {len(times):>3} runs, {times[0]:.2f} to {times[-1]:.2f} s")
    return wrong


if __name__ == "__main__":
    sys.exit(min(main(), 100))
