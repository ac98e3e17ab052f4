"""core.profiler: schedules and tables are PyTorch's."""

import itertools
import warnings

import pytest

import core
from core import profiler
from core.profiler.events import OP, USER, EventList, FunctionEvent

torch = pytest.importorskip("torch")
util = pytest.importorskip("torch.autograd.profiler_util")

NUMBERS = [*itertools.product((0, 1, 3), (0, 2), (1, 2), (0, 2), (0, 3), (0, 1))]
NAMES = ("wait", "warmup", "active", "repeat", "skip_first", "skip_first_wait")


def test_schedules_are_pytorchs():
    for numbers in NUMBERS:
        options = dict(zip(NAMES, numbers, strict=True))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ours, theirs = profiler.schedule(**options), torch.profiler.schedule(**options)
        assert [ours(n).name for n in range(25)] == [theirs(n).name for n in range(25)], options


@pytest.mark.parametrize("name, number", [("wait", -1), ("active", 0), ("repeat", -1)])
def test_what_is_no_schedule_is_refused_in_its_words(name, number):
    options = {"wait": 1, "warmup": 1, "active": 1, name: number}
    with pytest.raises(AssertionError) as theirs:
        torch.profiler.schedule(**options)
    with pytest.raises(AssertionError) as ours:
        profiler.schedule(**options)
    assert str(ours.value) == str(theirs.value)


# name, begin and end in microseconds, input shapes, bytes, stack
EVENTS = [
    ("ProfilerStep#3", 0, 2_500_000, [], None, []),
    ("aten::linear", 10, 90, [[2, 3], [4, 3], [4]], 4096, ["train.py(3): step", "train.py(9): f"]),
    ("aten::mm", 20, 50, [[2, 3], [3, 4]], 3 << 20, ["train.py(3): step"]),
    ("aten::linear", 100, 1_400, [[7, 3], [4, 3], [4]], 5 << 30, ["train.py(4): step"]),
    ("a name that is longer than the column of the names of events", 2_000, 2_001, [], -100, []),
]


def lists(shapes=True, stacks=True, memory=True):
    """The same events as PyTorch's and as ours."""
    theirs, ours, open_ = [], [], []
    for number, (name, start, end, dims, count, stack) in enumerate(EVENTS):
        while open_ and open_[-1].end <= start * 1000:
            open_.pop()
        event = FunctionEvent(
            name, USER if name.startswith("P") else OP, 1, open_[-1] if open_ else None
        )
        event.start, event.end, event.cpu_memory = start * 1000, end * 1000, count or 0
        event.input_shapes, event.stack = dims if shapes else [], stack if stacks else []
        if open_:
            open_[-1].cpu_children.append(event)
        open_.append(event)
        ours.append(event)
        theirs.append(
            util.FunctionEvent(
                number,
                event.name,
                1,
                start,
                end,
                input_shapes=event.input_shapes,
                stack=event.stack,
                cpu_memory_usage=count or 0,
                is_user_annotation=event.is_user_annotation,
            )
        )
    found = util.EventList(theirs, profile_memory=memory)
    found._build_tree()
    return found, EventList(ours, profile_memory=memory)


OPTIONS = [
    {},
    {"sort_by": "cpu_time_total", "row_limit": 2},
    {"sort_by": "self_cpu_time_total", "row_limit": -1, "header": "A header"},
    {"sort_by": "count", "time_unit": "ms"},
    {"time_unit": "us", "max_name_column_width": 20},
    {"sort_by": "cpu_memory_usage", "time_unit": "s", "max_shapes_column_width": 12},
    {"top_level_events_only": True},
    {"max_src_column_width": 12},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("noted", [(), ("shapes",), ("stacks",), ("memory",)], ids=str)
def test_tables_are_pytorchs(options, noted):
    kept = {name: name in noted for name in ("shapes", "stacks", "memory")}
    theirs, ours = lists(**kept)
    assert ours.table(**options) == theirs.table(**options)
    for shapes, frames in ((False, 0), (True, 0), (False, 2)):
        expected = theirs.key_averages(shapes, frames)
        assert ours.key_averages(shapes, frames).table(**options) == expected.table(**options)


def test_sums_are_pytorchs():
    theirs, ours = lists()
    assert ours.self_cpu_time_total == theirs.self_cpu_time_total
    for a, b in zip(ours.key_averages(), theirs.key_averages(), strict=True):
        for name in ("key", "count", "cpu_time", "self_cpu_time_total", "self_cpu_memory_usage"):
            assert getattr(a, name) == pytest.approx(getattr(b, name)), name
        assert a.cpu_time_str == b.cpu_time_str and a.cpu_time_total_str == b.cpu_time_total_str
    assert ours.total_average().cpu_time_total == theirs.total_average().cpu_time_total


def names_in(module, profile):
    """The keys of one step of a small network, without those of ops."""
    model = module.nn.Sequential(module.nn.Linear(4, 3), module.nn.ReLU(), module.nn.Linear(3, 2))
    optimizer = module.optim.SGD(model.parameters(), 0.1)
    with profile() as prof:
        loss = model(module.ones(5, 4)).sum()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    keys = {event.key: event.count for event in prof.key_averages()}
    return {
        key: count
        for key, count in keys.items()
        if (key.endswith("Backward0") and "engine" not in key) or key.startswith("Optimizer")
    }


def test_backward_and_optimizers_have_pytorchs_names():
    theirs = names_in(torch, torch.profiler.profile)
    ours = names_in(core, profiler.profile)
    theirs.pop("TBackward0")  # a linear layer is one op here
    assert ours == theirs
