"""core.profiler: what it notes, that it changes no result, and that nothing of it stays behind."""

import gzip
import json
import threading

import pytest

import core
import ddp
from core import profiler
from core.autograd import product, sweep
from core.ops.conv_pool import conv_relu_pool
from core.profiler import ProfilerAction, profile, record_function
from core.profiler import wrappers as inner


def train(steps=2, each=lambda: None):
    """A few steps of a small network; its loss and parameters."""
    core.manual_seed(0)
    model = core.nn.Sequential(core.nn.Linear(4, 3), core.nn.LayerNorm(3), core.nn.ReLU())
    optimizer = core.optim.SGD(model.parameters(), 0.1)
    for x in core.data.DataLoader([core.ones(4)] * 5 * steps, batch_size=5):
        with record_function("forward"):
            loss = model(x).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        each()
    return [loss.detach(), *(p.detach() for p in model.parameters())]


def counts(events):
    return {event.key: event.count for event in events}


def test_a_step_of_training_is_noted_from_its_batch_to_its_optimizer():
    with profile() as prof:
        train()
    found = counts(prof.key_averages())
    expected = {
        "enumerate(DataLoader)#_SingleProcessDataLoaderIter.__next__": 3,
        "forward": 2,
        "aten::linear": 2,
        "aten::relu": 2,
        "SumBackward0": 2,
        "AddmmBackward0": 2,
        "ReluBackward0": 2,
        "torch::autograd::AccumulateGrad": 8,
        "Optimizer.zero_grad#SGD.zero_grad": 2,
        "Optimizer.step#SGD.step": 2,
    }
    assert {name: found.get(name) for name in expected} == expected


def test_results_are_the_same_bits_and_nothing_stays_behind():
    forms = [(op, op.forward, op.direct, op.alone, dict(op.fast)) for op in inner._ops()]
    alone = train()
    with profile(record_shapes=True, profile_memory=True, with_stack=True, with_flops=True):
        assert sweep.products is not product.products
        noted = train()
    assert all(core.equal(a, b) for a, b in zip(alone, noted, strict=True))
    assert all(
        (op.forward, op.direct, op.alone, op.fast) == (forward, direct, one, fast)
        for op, forward, direct, one, fast in forms
    )
    assert sweep.products is product.products and not inner._undo


def test_names_are_pytorchs_and_those_of_our_own_parts_say_so():
    with profile() as prof:
        x = core.nn.BatchNorm1d(3)(core.rand(4, 3, requires_grad=True))
        core.linalg.det(core.nn.functional.layer_norm(core.cat([x, x]), (3,)).T @ core.ones(8, 3))
    found = counts(prof.key_averages())
    theirs = "cat matmul native_layer_norm linalg_det".split()
    assert [name for name in theirs if f"aten::{name}" not in found] == []
    assert found["unison::affine"] == 1 and "aten::affine" not in found


def test_a_start_that_fails_leaves_nothing_behind(monkeypatch):
    def fails(span):
        raise OSError("no")

    before = core.exp.op.direct
    monkeypatch.setattr(inner, "probes", [fails])
    with pytest.raises(OSError, match="no"):
        profile().start()
    assert core.exp.op.direct is before and not inner._undo
    monkeypatch.undo()
    with profile() as prof:
        core.ones(2).exp()
    assert counts(prof.key_averages())["aten::exp"] == 1


def test_what_is_put_in_meanwhile_stays():
    op = core.exp.op
    before = op.direct
    try:
        with profile():
            op.direct = other = lambda x: before(x)
        assert op.direct is other
    finally:
        op.direct = before


def test_an_op_that_fails_is_no_event_and_the_next_one_stands_alone():
    with profile() as prof:
        with pytest.raises(RuntimeError):
            core.ones(2) + core.ones(3)
        core.ones(2).exp()
    events = {event.name: event for event in prof.events()}
    assert "aten::add" not in events and events["aten::exp"].cpu_parent is None


def test_events_lie_within_each_other_and_their_own_times_add_up():
    with profile() as prof:
        with record_function("outer"), record_function("inner"):
            core.ones(3).exp().log()
    by_name = {event.name: event for event in prof.events()}
    outer, within = by_name["outer"], by_name["inner"]
    assert within.cpu_parent is outer and within in outer.cpu_children
    assert [event.name for event in within.cpu_children][-2:] == ["aten::exp", "aten::log"]
    for event in prof.events():
        for child in event.cpu_children:
            assert event.start <= child.start <= child.end <= event.end
    assert sum(e.self_cpu_time_total for e in prof.events()) == pytest.approx(outer.cpu_time_total)
    assert prof.events().self_cpu_time_total == pytest.approx(outer.cpu_time_total)


def test_a_named_function_is_noted_whenever_it_is_called():
    @record_function("twice")
    def double(x):
        return x + x

    double(core.ones(1))
    with profile() as prof:
        assert [double(core.ones(1)).item() for _ in range(2)] == [2.0, 2.0]
    assert counts(prof.key_averages())["twice"] == 2


def test_bytes_are_those_of_new_memory():
    x = core.ones(10, 10)
    with profile(profile_memory=True) as prof, record_function("all"):
        x.exp().expand(2, 10, 10)
        x.add_(x)
    used = {event.key: event.cpu_memory_usage for event in prof.key_averages()}
    assert used["aten::exp"] == used["all"] == 400
    assert used["aten::expand"] == used["aten::add_"] == 0
    assert "CPU Mem" in prof.key_averages().table() and "400 B" in prof.key_averages().table()


def test_shapes_operations_and_stacks_are_noted_where_they_are_asked_for():
    a, b = core.ones(2, 3), core.ones(3, 4)
    with profile(record_shapes=True, with_flops=True, with_stack=True) as prof:
        a @ b
        a.mT @ a
    events = [event for event in prof.events() if event.name == "aten::matmul"]
    assert [event.input_shapes for event in events] == [[[2, 3], [3, 4]], [[3, 2], [2, 3]]]
    assert [event.flops for event in events] == [2 * 2 * 4 * 3, 2 * 3 * 3 * 2]
    assert all(__file__ in event.stack[0] for event in events)
    assert len([e for e in prof.key_averages(True) if e.key == "aten::matmul"]) == 2
    assert counts(prof.key_averages())["aten::matmul"] == 2
    assert "Source Location" in prof.key_averages(group_by_stack_n=1).table()


def test_what_is_done_in_one_counts_as_many_operations_as_its_parts():
    x, w = core.ones(2, 1, 6, 6), core.ones(3, 1, 3, 3)
    args = (x, w, core.ones(3), ((0, 0), (0, 0)), (2, 2))
    found = []
    for given in (args, (x.half(), w.half(), core.ones(3).half(), *args[3:])):
        with profile(with_flops=True) as prof:
            conv_relu_pool(*given)
        found.append({event.key: event.flops for event in prof.key_averages() if event.flops})
    count = 2 * (2 * 3 * 4 * 4) * 9
    assert found == [{"unison::conv_relu_pool": count}, {"aten::convolution": count}]


def test_a_schedule_says_which_steps_are_noted(recwarn):
    seen = []

    def ready(prof):
        seen.append((prof.step_num, counts(prof.key_averages())["ProfilerStep*"]))

    plan = profiler.schedule(wait=1, warmup=1, active=2, repeat=2, skip_first=1)
    with profile(schedule=plan, on_trace_ready=ready) as prof:
        train(12, prof.step)
    assert seen == [(5, 2), (9, 2)] and not recwarn.list
    steps = [e.trace_name for e in prof.events() if e.trace_name.startswith("ProfilerStep#")]
    assert steps == ["ProfilerStep#7", "ProfilerStep#8"]
    with profile(schedule=plan, acc_events=True) as both:
        train(12, both.step)
    assert counts(both.key_averages())["ProfilerStep*"] == 4


def test_a_schedule_that_breaks_off_is_warned_of():
    def plan(step):
        return ProfilerAction.RECORD if step == 0 else ProfilerAction.NONE

    with profile(schedule=plan) as prof, pytest.warns(UserWarning, match="RECORD followed by NONE"):
        prof.step()


def test_a_thread_is_recorded_once():
    with profile() as prof:
        with pytest.raises(RuntimeError, match="already enabled"):
            profile().start()
        other = threading.Thread(target=lambda: core.ones(2).exp())
        other.start()
        other.join()
    found = [event for event in prof.events() if event.name == "aten::exp"]
    assert [event.thread == threading.get_ident() for event in found] == [False]


def test_simulated_ranks_note_each_its_own_collectives():
    def rank():
        x = core.ones(3)
        with profile() as prof:
            ddp.all_reduce(x)
            work = ddp.broadcast(x, async_op=True)
            work.wait()
        return counts(prof.key_averages())

    expected = {"thread:all_reduce": 1, "thread:broadcast": 1, "wait:broadcast": 1}
    for found in ddp.simulate(rank, size=2):
        assert {name: found.get(name) for name in expected} == expected


def test_the_gpu_is_timed_by_its_events(monkeypatch):
    monkeypatch.setenv("UNISON_SIMULATED_GPUS", "1")
    x = core.ones(50, 50, device="cuda", requires_grad=True)
    with profile(profile_memory=True) as prof:
        (x @ x).sum().backward()
    found = {event.key: event for event in prof.key_averages()}
    for name in ("aten::matmul", "MmBackward0"):
        assert found[name].device_time_total > 0
    assert found["aten::matmul"].self_device_memory_usage == 3 * 10_000
    table = prof.key_averages().table(sort_by="cuda_time_total", row_limit=1)
    assert "Self CUDA" in table and "CUDA Mem" in table and "Self CUDA time total" in table
    with pytest.warns(FutureWarning, match="device_time_total"):
        assert found["aten::matmul"].cuda_time_total == found["aten::matmul"].device_time_total


def test_a_gpu_that_is_not_there_is_warned_of(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.warns(UserWarning, match="CUDA is not available"):
        with profile(activities=list(profiler.ProfilerActivity)) as prof:
            core.ones(2).exp()
    assert counts(prof.key_averages())["aten::exp"] == 1


def test_traces_are_read_by_chrome_and_tensorboard(tmp_path):
    handler = profiler.tensorboard_trace_handler(str(tmp_path / "log"), "rank0", use_gzip=True)
    with profile(on_trace_ready=handler, with_stack=True, record_shapes=True) as prof:
        prof.add_metadata("note", "a test")
        train(1)
    (file,) = (tmp_path / "log").iterdir()
    assert file.name.startswith("rank0.") and file.name.endswith(".pt.trace.json.gz")
    whole = json.loads(gzip.decompress(file.read_bytes()))
    prof.export_chrome_trace(str(tmp_path / "trace.json"))
    again = json.loads((tmp_path / "trace.json").read_text())
    assert whole["traceEvents"] == again["traceEvents"] and whole["note"] == "a test"
    spans = [event for event in whole["traceEvents"] if event["ph"] == "X"]
    assert [event["name"] for event in spans] == [event.trace_name for event in prof.events()]
    assert {event["cat"] for event in spans} == {"cpu_op", "user_annotation"}
    prof.export_stacks(str(tmp_path / "stacks.txt"))
    lines = (tmp_path / "stacks.txt").read_text().splitlines()
    assert lines and all(line.split()[-1].isdigit() for line in lines)


def test_the_older_form_finds_the_same(tmp_path):
    with core.autograd.profiler.profile(record_shapes=True) as prof:
        with core.autograd.profiler.record_function("named"):
            core.ones(3).exp()
    assert {"named", "aten::exp"} <= set(counts(prof.key_averages(group_by_input_shape=True)))
    assert prof.total_average().count == len(prof.function_events)
    assert prof.self_cpu_time_total > 0 and "aten::exp" in str(prof) and "named" in prof.table()
    prof.export_chrome_trace(str(tmp_path / "trace.json"))
    with pytest.raises(RuntimeError, match="not reentrant"), prof:
        pass
    with core.autograd.profiler.profile(enabled=False) as none:
        assert none is None


def test_nothing_can_be_asked_before_anything_was_noted():
    with pytest.raises(AssertionError, match="must be initialized"):
        profile().key_averages()
    with pytest.raises(AssertionError, match="No valid profiler activities"):
        profile(activities=[])
    with pytest.raises(TypeError, match="ProfilerActivity"):
        profile(activities=["cpu"])
