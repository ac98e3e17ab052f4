"""What people know as torch.utils.benchmark: how long statements take, and tables of that."""

from core.benchmark.compare import Colorize as Colorize
from core.benchmark.compare import Compare as Compare
from core.benchmark.measurement import Measurement as Measurement
from core.benchmark.measurement import TaskSpec as TaskSpec
from core.benchmark.measurement import select_unit as select_unit
from core.benchmark.measurement import trim_sigfig as trim_sigfig
from core.benchmark.timer import Timer as Timer
from core.benchmark.timer import timer as timer

__all__ = [
    "Colorize",
    "Compare",
    "Measurement",
    "TaskSpec",
    "Timer",
    "select_unit",
    "timer",
    "trim_sigfig",
]
