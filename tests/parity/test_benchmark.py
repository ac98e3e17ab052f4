"""core.benchmark: what measurements say, and the tables made of them, are PyTorch's."""

import itertools
import re

import pytest

import core
from core import benchmark

torch = pytest.importorskip("torch")
theirs = pytest.importorskip("torch.utils.benchmark")

# Seconds of several runs: steady ones, ones that vary, a single one.
TIMES = {
    "steady": [2.0e-4, 2.01e-4, 1.99e-4, 2.0e-4, 2.003e-4, 2.1e-4],
    "wide": [3.4e-6, 3.5e-6, 4.1e-6, 3.2e-6, 3.9e-6, 3.6e-6, 3.3e-6],
    "very wide": [0.5, 1.7, 0.9, 1.1, 0.4],
    "one": [0.031],
    "two": [5.5e-8, 6.5e-8],
}
TASKS = [
    {"label": "products", "sub_label": "small", "description": "this one"},
    {"label": "products", "sub_label": "large", "description": "this one", "num_threads": 2},
    {"label": "products", "sub_label": "large", "description": "another", "num_threads": 2},
    {"label": "products", "sub_label": "small", "description": "another"},
    {"label": "products", "sub_label": "small", "description": "this one"},
    {"label": "sums", "description": "this one"},
]


def measured(module, number, times, **task):
    spec = {"stmt": "x + y", "setup": "pass", **task}
    return module.Measurement(number, list(times), module.TaskSpec(**spec))


def pairs(number=10):
    for (kind, times), (i, task) in itertools.product(TIMES.items(), enumerate(TASKS[:2])):
        raw = [time * number * (i + 1) for time in times]
        yield kind, *(measured(module, number, raw, **task) for module in (benchmark, theirs))


def text(measurement):
    """What it prints, without its own address."""
    return re.sub(r"^<.*>$", "", repr(measurement), count=1, flags=re.M)


def test_measurements_say_what_pytorchs_say():
    for kind, ours, other in pairs():
        for name in ("median", "mean", "iqr"):
            assert getattr(ours, name) == pytest.approx(getattr(other, name), rel=1e-12), kind
        assert ours.significant_figures == other.significant_figures, kind
        assert ours.has_warnings == other.has_warnings and ours.title == other.title
        assert ours.meets_confidence(0.2) == other.meets_confidence(0.2)
        assert text(ours) == text(other)


@pytest.mark.parametrize(
    "task",
    [
        {"stmt": "a\nb", "setup": "c\nd"},
        {"stmt": "a\nb", "sub_label": "part", "setup": "c = 1"},
        {"stmt": "a", "description": "words", "num_threads": 3},
    ],
    ids=str,
)
def test_tasks_are_described_in_its_words(task):
    ours, other = (measured(module, 5, TIMES["steady"], **task) for module in (benchmark, theirs))
    assert text(ours) == text(other)


def compared(module, change=lambda compare: None, tasks=TASKS):
    times = itertools.cycle(TIMES.values())
    compare = module.Compare([measured(module, 3, next(times), **task) for task in tasks])
    change(compare)
    return str(compare)


@pytest.mark.parametrize(
    "change",
    [
        lambda compare: None,
        lambda compare: compare.trim_significant_figures(),
        lambda compare: compare.colorize(),
        lambda compare: compare.colorize(rowwise=True),
        lambda compare: compare.highlight_warnings(),
        lambda compare: (compare.highlight_warnings(), compare.trim_significant_figures()),
    ],
)
def test_tables_are_pytorchs(change):
    assert compared(benchmark, change) == compared(theirs, change)
    envs = [{**task, "env": f"env {i % 2}"} for i, task in enumerate(TASKS)]
    assert compared(benchmark, change, envs) == compared(theirs, change, envs)


@pytest.mark.parametrize("seconds", [1e-9, 3.3e-7, 0.99e-6, 1e-6, 0.5e-3, 2e-3, 0.5, 1.0, 70.0])
def test_units_and_figures_are_pytorchs(seconds):
    assert benchmark.select_unit(seconds) == theirs.select_unit(seconds)
    for figures in (1, 2, 3):
        expected = theirs.trim_sigfig(seconds, figures)
        assert benchmark.trim_sigfig(seconds, figures) == pytest.approx(expected, rel=1e-6)


def test_what_is_no_statement_is_refused():
    for module in (benchmark, theirs):
        with pytest.raises(ValueError, match="only a `str`"):
            module.Timer(stmt=len)
        with pytest.raises(ValueError, match=r"global_setup is C\+\+ only"):
            module.Timer(global_setup="x")
        with pytest.raises(ValueError, match="Measurement"):
            module.Compare([1])
    with pytest.raises(ValueError, match="no compiler"):
        benchmark.Timer(language="c++")


class Clock:
    """A clock on which each statement takes its own number of seconds."""

    now = 0.0

    def __call__(self):
        return self.now

    def spend(self, seconds):
        self.now += seconds


def ranges(module):
    """What the timers of a module find of a statement that takes 0.3 ms, then more."""
    found = []
    for measure in (
        lambda timer: timer.timeit(7),
        lambda timer: timer.blocked_autorange(min_run_time=0.1),
        lambda timer: timer.adaptive_autorange(min_run_time=0.02),
    ):
        clock = Clock()
        statement = """
            spend(3e-4)
        """
        known = {"spend": clock.spend}
        timer = module.Timer(statement, timer=clock, globals=known, sub_label="part")
        measurement = measure(timer)
        found.append((measurement.number_per_run, len(measurement.times), measurement.stmt))
        assert measurement.median == pytest.approx(3e-4)
    return found


def test_statements_are_run_as_often_as_in_pytorch():
    assert ranges(benchmark) == ranges(theirs)


def test_a_statement_knows_core_and_has_its_threads():
    before, seen = core.get_num_threads(), []
    for threads in (before + 1, 1):
        statement = "seen.append(core.get_num_threads())"
        benchmark.Timer(statement, globals={"seen": seen}, num_threads=threads).timeit(3)
    assert seen == [before + 1] * 5 + [1] * 5 and core.get_num_threads() == before
