"""The command line of `python -m launch`: one table, one sentence for each wrong use."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from launch.script import Script
from launch.status import UsageError

USAGE_TEXT = """\
usage: python -m launch [options] script.py [arguments]
       python -m launch [options] -m package.module [arguments]
       mpirun -n 4 python -m launch [options] script.py [arguments]

  -n N              start N ranks with the mpiexec that belongs to mpi4py's MPI
  --timeout S       end the job after S seconds in one collective (600; 0: never)
  --shards S        logical shards: the same bits on every number of ranks that divides S
  --device D        auto, cuda or cpu: where the ranks compute (auto)
  --trace FILE      a timeline of all ranks, for ui.perfetto.dev and chrome://tracing
  --stats           where the time of a step went, on each rank, at the end
  --log-dir DIR     one log file per rank
  --prefix          each line of output starts with its rank
  --as-torch        a script written for PyTorch: its imports are served from core and ddp
  --check           compare collectives across nodes as well, by messages
  --max-restarts K  with -n: start the job again after a failure, at most K times
  --min-ranks M     with --max-restarts and --shards: where N ranks cannot be started any more
                    (a host is gone), go on with fewer, M at least
  -q                no start line
  --doctor          say what this machine has, and how fast its ranks talk
  --selftest        train the same on 1, 2 and 4 ranks and compare
  -h, --help        this text
"""


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asks for."""

    script: Script | None = None
    ranks: int = 0
    timeout: float = 600.0
    shards: int = 0
    device: str = "auto"
    log_dir: str = ""
    trace: str = ""
    stats: bool = False
    prefix: bool = False
    as_torch: bool = False
    check: bool = False
    max_restarts: int = 0
    min_ranks: int = 0
    quiet: bool = False
    help: bool = False
    doctor: bool = False
    selftest: bool = False


def parse(arguments: Sequence[str]) -> Options:
    """The options of a command line.

    Raises: UsageError with one sentence.
    Example:
        >>> parse(["-n", "4", "train.py", "--lr", "1"]).script
        Script(name='train.py', arguments=('--lr', '1'), is_module=False)
    """
    values: dict[str, Any] = {}
    left = list(arguments)
    while left and left[0].startswith("-") and left[0] != "-m":
        flag, equals, value = left.pop(0).partition("=")
        if flag not in _FLAGS:
            raise UsageError(_unknown(flag))
        field, read = _FLAGS[flag]
        if read is None:
            if equals:
                raise UsageError(f"option {flag} takes no value, got {value!r}")
            values[field] = True
            continue
        if not equals:
            if not left:
                raise UsageError(f"option {flag} needs a value")
            value = left.pop(0)
        values[field] = read(flag, value)
    if not any(values.get(name) for name in ("help", "doctor", "selftest")):
        values["script"] = _script(left)
    return Options(**values)


def unparsed(options: Options) -> list[str]:
    """The command line that gives these options to each rank (all but those of the start)."""
    words: list[str] = []
    default = Options()
    for flag, (field, read) in _FLAGS.items():
        value = getattr(options, field)
        if field in _OF_THE_START or value == getattr(default, field):
            continue
        words += [flag] if read is None else [flag, str(value)]
    script = options.script
    if script is not None:
        words += [*(["-m"] if script.is_module else []), script.name, *script.arguments]
    return words


def _unknown(flag: str) -> str:
    if flag.startswith(_PLACES):
        return f"unknown option {flag!r}: no address is needed, and mpirun or srun knows the hosts"
    if flag.startswith(_NUMBERS):
        return f"unknown option {flag!r}: the number of ranks is -n N"
    return f"unknown option {flag!r}; `python -m launch --help` lists them"


def _script(left: list[str]) -> Script:
    is_module = bool(left) and left[0] == "-m"
    if is_module:
        left = left[1:]
    if not left:
        what = "a module name after -m" if is_module else "a script"
        raise UsageError(f"expected {what}: python -m launch [options] script.py [arguments]")
    return Script(left[0], tuple(left[1:]), is_module)


def _whole(least: int) -> Callable[[str, str], int]:
    def read(flag: str, value: str) -> int:
        if not value.isdigit() or int(value) < least:
            raise UsageError(f"option {flag} expects a whole number >= {least}, got {value!r}")
        return int(value)

    return read


def _seconds(flag: str, value: str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise UsageError(f"option {flag} expects seconds >= 0, got {value!r}")
    return seconds


def _device(flag: str, value: str) -> str:
    if value not in ("auto", "cuda", "cpu"):
        raise UsageError(f"option {flag} expects auto, cuda or cpu, got {value!r}")
    return value


def _shards(flag: str, value: str) -> int:
    number = _whole(1)(flag, value)
    if number & (number - 1):
        raise UsageError(f"option {flag} expects a power of two, got {value!r}")
    return number


def _text(flag: str, value: str) -> str:
    if not value:
        raise UsageError(f"option {flag} expects a path, got an empty one")
    return value


# How other launchers say it.
_PLACES = ("--nnodes", "--node", "--master", "--rdzv", "--standalone", "--local", "--host", "-H")
_NUMBERS = ("-n", "--np", "-N", "--num")
_Reader = Callable[[str, str], object]
# flag: the field of Options, and the reader of its value (None: a flag without a value).
_FLAGS: dict[str, tuple[str, _Reader | None]] = {
    "-n": ("ranks", _whole(1)),
    "--timeout": ("timeout", _seconds),
    "--shards": ("shards", _shards),
    "--device": ("device", _device),
    "--log-dir": ("log_dir", _text),
    "--trace": ("trace", _text),
    "--stats": ("stats", None),
    "--prefix": ("prefix", None),
    "--as-torch": ("as_torch", None),
    "--check": ("check", None),
    "--max-restarts": ("max_restarts", _whole(0)),
    "--min-ranks": ("min_ranks", _whole(1)),
    "-q": ("quiet", None),
    "--doctor": ("doctor", None),
    "--selftest": ("selftest", None),
    "-h": ("help", None),
    "--help": ("help", None),
}
# What concerns only who starts the ranks.
_OF_THE_START = ("ranks", "max_restarts", "min_ranks", "help")


def contradiction(options: Options, launcher: str) -> str:
    """Why these options cannot be together where `launcher` ("" for none) started the ranks.

    "" if they can.
    Example:
        >>> contradiction(Options(max_restarts=1), "")
        '--max-restarts needs -n N: only who starts the ranks can restart them'
    """
    given = {"-n": options.ranks, "--max-restarts": options.max_restarts}
    given["--min-ranks"] = options.min_ranks
    if launcher:
        flags = [flag for flag, value in given.items() if value]
        return f"{flags[0]} is for `python -m launch -n N`, but {launcher}" if flags else ""
    if options.max_restarts and not options.ranks:
        return "--max-restarts needs -n N: only who starts the ranks can restart them"
    if not options.min_ranks:
        return ""
    if not options.max_restarts or not options.shards:
        return "--min-ranks needs --max-restarts K and --shards S, which keeps the bits the same"
    if options.min_ranks > options.ranks:
        return f"--min-ranks {options.min_ranks} is more than -n {options.ranks}"
    return ""


def interpreter_flags() -> list[str]:
    """The flags that this interpreter was started with, for the ranks to have them too."""
    words = sys.orig_argv[1:]
    return words[: words.index("-m")] if "-m" in words else []
