"""The laws of communication hooks, as functions that every rank runs."""

import os
import pickle
import tempfile

import numpy as np

import core
import ddp
from core import nn
from ddp.current_group import current_group
from ddp.futures import Future

STEPS = 6


def model_of(hook=None, state=None, cap=25.0, dtype=core.float32):
    core.manual_seed(1)
    layers = nn.Sequential(nn.Linear(12, 10), nn.Tanh(), nn.Linear(10, 8), nn.Linear(8, 1)).to(
        dtype
    )
    model = ddp.DistributedDataParallel(layers, bucket_cap_mb=cap)
    if hook is not None:
        model.register_comm_hook(state, hook)
    return model


def gradients(model, step, names=None):
    """This step's reduced gradients as one vector; the parameters stay as they are."""
    numbers = np.random.default_rng([step, current_group().rank])
    model.zero_grad()
    x = core.from_numpy(numbers.normal(size=(4, 12))).to(next(model.parameters()).dtype)
    (model(x) ** 2).mean().backward()
    named = dict(model.module.named_parameters())
    return np.concatenate([named[n].grad.numpy().reshape(-1) for n in names or named])


def equal_on_all_ranks(array):
    every = [None] * current_group().size
    current_group().all_gather_object(every, array.tobytes())
    assert every == every[:1] * len(every)


def mean_over_ranks(array):
    total = array.astype(np.float64)
    current_group().all_reduce(total, ddp.ReduceOp.AVG)
    return total


def the_plain_hook_changes_no_bit():
    """Under any size of buckets."""
    for cap in (25.0, 0.0001):
        plain, hooked = model_of(cap=cap), model_of(ddp.allreduce_hook, cap=cap)
        for step in range(2):
            assert gradients(plain, step).tobytes() == gradients(hooked, step).tobytes()


def narrow_floats_round_once():
    """float16 and bfloat16 are within their rounding of the average, as hooks and as wrappers."""
    exact = gradients(model_of(), 0)
    for hooks, digits in (
        ((ddp.fp16_compress_hook, ddp.fp16_compress_wrapper(ddp.allreduce_hook)), 11),
        ((ddp.bf16_compress_hook, ddp.bf16_compress_wrapper(ddp.allreduce_hook)), 8),
    ):
        largest = np.abs(exact).max() * current_group().size * 4
        for hook in hooks:
            found = gradients(model_of(hook), 0)
            assert 0 < np.abs(found - exact).max() < largest * 2.0**-digits
            equal_on_all_ranks(found)


def lossy():
    """Hooks that keep what they leave out."""
    yield ddp.bf16_compress_hook, ddp.ErrorFeedback(), 2.0**-7
    yield ddp.fp16_compress_hook, ddp.ErrorFeedback(), 2.0**-10
    yield ddp.topk_hook, ddp.TopKState(0.1), 1e-5
    state = ddp.PowerSGDState(start_powerSGD_iter=1, min_compression_rate=1.5)
    yield ddp.powerSGD_hook, state, 1e-5
    yield ddp.fp16_compress_wrapper(ddp.topk_hook), ddp.TopKState(0.1), 2.0**-8


def kept_back(model, state, names):
    """The mean over ranks of what a hook has left out of these parameters' gradients."""
    found = dict.fromkeys(names, 0.0)
    for bucket in model.reducer.buckets:
        error, start = state.errors.get(bucket.index), 0
        for i in bucket.positions:
            size = model.reducer.parameters[i].array.size
            if error is not None:
                found[model.reducer.names[i]] = error[start : start + size]
            start += size
    sizes = {name: p.array.size for name, p in model.module.named_parameters()}
    parts = [np.broadcast_to(np.asarray(found[n], np.float64), sizes[n]) for n in names]
    return mean_over_ranks(np.concatenate(parts))


def what_was_left_out_is_sent_later():
    """What was applied and what is kept back add up to the sum of the exact averages."""
    for hook, state, tolerance in lossy():
        exact_model, model = model_of(cap=0.0005), model_of(hook, state, cap=0.0005)
        exact = sum(gradients(exact_model, step).astype(np.float64) for step in range(STEPS))
        applied = sum(gradients(model, step).astype(np.float64) for step in range(STEPS))
        kept = kept_back(model, state, [n for n, _ in model.module.named_parameters()])
        np.testing.assert_allclose(applied + kept, exact, atol=tolerance * np.abs(exact).max())


def what_a_hook_carries_is_saved_and_loaded():
    """A run that stops, and goes on with a new model and state, has the bits of one that did not.

    Through a file, and through a pickle; also into buckets of another size, as a tuner makes them.
    """
    for (hook, whole, _), (_, first, _), (_, second, _) in zip(lossy(), lossy(), lossy()):
        model = model_of(hook, whole, cap=0.0005)
        expected = [gradients(model, step) for step in range(STEPS)]
        model = model_of(hook, first, cap=0.0005)
        for step in range(3):
            gradients(model, step)
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, f"{current_group().rank}.ckpt")
            core.save(first.state_dict(), path)
            second.load_state_dict(core.load(path))
        pickled = pickle.loads(pickle.dumps(first))
        for state in (second, pickled):
            model = model_of(hook, state, cap=0.0005)
            for step in range(3, STEPS):
                assert gradients(model, step).tobytes() == expected[step].tobytes()


def what_was_left_out_follows_into_other_buckets():
    """Nothing is lost where buckets change between steps, as when a layer is unfrozen."""
    frozen = ["0.weight", "0.bias"]
    for hook, state, tolerance in lossy():
        models = [model_of(), model_of(hook, state)]
        names = [n for n, _ in models[0].module.named_parameters() if n not in frozen]
        totals = []
        for model in models:
            model.module[0].requires_grad_(False)
            model._renew_reducer()
            for step in range(STEPS):
                model.module[0].requires_grad_(step >= 3)
                found = gradients(model, step, names)
                totals.append(found.astype(np.float64))
            assert len(model.reducer.names) == len(names) + 2
        exact, applied = sum(totals[:STEPS]), sum(totals[STEPS:])
        kept = kept_back(models[1], state, [*frozen, *names])[-exact.size :]
        np.testing.assert_allclose(applied + kept, exact, atol=tolerance * np.abs(exact).max())


def powersgd_of_full_rank_is_exact():
    """And of low rank it is deterministic and equal on all ranks."""
    options = {"start_powerSGD_iter": 0, "min_compression_rate": 0}
    full = ddp.PowerSGDState(matrix_approximation_rank=12, **options)
    model, exact = (
        model_of(ddp.powerSGD_hook, full, dtype=core.float64),
        model_of(dtype=core.float64),
    )
    for step in range(3):
        np.testing.assert_allclose(gradients(model, step), gradients(exact, step), atol=1e-12)
    runs = []
    for _ in range(2):
        model = model_of(ddp.powerSGD_hook, ddp.PowerSGDState(**options))
        runs.append(np.concatenate([gradients(model, step) for step in range(3)]))
        equal_on_all_ranks(runs[-1])
    assert runs[0].tobytes() == runs[1].tobytes()


def powersgd_converges_to_a_repeated_gradient():
    """With a warm start the same gradient, sent again and again, is approached."""
    state = ddp.PowerSGDState(start_powerSGD_iter=0, min_compression_rate=1)
    model, exact = model_of(ddp.powerSGD_hook, state), gradients(model_of(), 0)
    found = [gradients(model, 0) for _ in range(40)]
    first = np.abs(found[0] - exact).max()
    assert np.abs(np.mean(found, 0) - exact).max() < 0.2 * first


def topk_keeps_the_largest():
    """On one rank: the largest values as they are, zero elsewhere."""
    state = ddp.TopKState(0.05, error_feedback=False)
    found, exact = gradients(model_of(ddp.topk_hook, state), 0), gradients(model_of(), 0)
    equal_on_all_ranks(found)
    count = round(0.05 * exact.size)
    assert np.count_nonzero(found) <= count * current_group().size
    if current_group().size == 1:
        kept = np.flatnonzero(found)
        assert (found[kept] == exact[kept]).all()
        assert np.abs(exact[kept]).min() >= np.sort(np.abs(exact))[-count]


def a_bucket_tells_what_is_in_it():
    """Buffer, views, parameters, order; and a hook may answer in any of the three ways."""
    seen = []

    def hook(state, bucket):
        seen.append((bucket.index(), bucket.is_last()))
        sizes = [g.shape for g in bucket.gradients()]
        assert sizes == [p.shape for p in bucket.parameters()]
        for g, p in zip(bucket.gradients(), bucket.parameters(), strict=True):
            assert p.grad is None or (g.array == p.grad.array).all()
        values = bucket.buffer().array * 0 + 3
        if state == "in place":
            bucket.buffer().array[...] = values
            return None
        return core.from_numpy(values) if state == "value" else ddp.Then(None, lambda: values)

    for state in ("in place", "value", "later"):
        found = gradients(model_of(hook, state, cap=0.0001), 0)
        assert (found == 3).all()
    last = max(i for i, _ in seen)
    assert last > 0 and [flag for i, flag in seen if i == last] == [True] * 3


def futures_answer_for_buckets():
    """As hooks written for PyTorch give them: of a collective, of what is made of it, of none."""
    size = current_group().size

    def scaled(state, bucket):
        part = bucket.buffer().div_(size)
        return ddp.all_reduce(part, async_op=True).get_future()

    def divided(state, bucket):
        work = ddp.all_reduce(bucket.buffer(), group=state, async_op=True)
        doubled = work.get_future().then(lambda done: 2 * done.value()[0])
        return doubled.then(lambda done: done.wait() / (2 * size))

    def gathered(state, bucket):
        every = [core.empty_like(bucket.buffer()) for _ in range(size)]
        done = ddp.all_gather(every, bucket.buffer(), async_op=True).get_future()
        return done.then(lambda done: sum(done.value()) / size)

    def promised(state, bucket):
        current_group().all_reduce(bucket.buffer().array, ddp.ReduceOp.AVG)
        later = Future()
        later.set_result(bucket.buffer())
        return later

    for hook in (scaled, divided, gathered, promised):
        plain, hooked = (model_of(h, cap=0.0005, dtype=core.float64) for h in (None, hook))
        for step in range(2):
            expected = gradients(plain, step)
            np.testing.assert_allclose(gradients(hooked, step), expected, rtol=1e-12)


def hooks_are_refused_where_they_do_not_belong():
    """A second one, something else, one for something else, and on logical shards."""

    def of_a_number(state, bucket: int):
        return bucket

    model = model_of(ddp.allreduce_hook)
    cases = [(model, ddp.allreduce_hook, RuntimeError), (model_of(), 3, TypeError)]
    cases.append((model_of(), of_a_number, ValueError))
    size = current_group().size
    if not size & (size - 1):
        sharded = ddp.DistributedDataParallel(nn.Linear(2, 2), shards=size)
        cases.append((sharded, ddp.allreduce_hook, RuntimeError))
    for model, hook, kind in cases:
        try:
            model.register_comm_hook(None, hook)
        except kind:
            continue
        raise AssertionError("accepted")


def answers_of_another_size_are_refused():
    """A single number would fill the bucket, and other ones tell nothing of hooks."""
    rank = current_group().rank
    for answer, text in (
        (lambda flat: flat.sum(), "1 values"),
        (lambda flat: flat[:3], "3 values"),
        (lambda flat: 2.0, "float"),
    ):
        try:
            gradients(model_of(lambda _, bucket, answer=answer: answer(bucket.buffer())), 0)
        except ValueError as error:
            assert f"rank {rank}: the communication hook gave {text} for a bucket" in str(error)
        else:
            raise AssertionError("accepted")


def hooks_of_the_table_are_those_by_name():
    """In the default group and in one that is given; PowerSGD begins with plain averages."""
    group = current_group()
    hooks = {"FP16_COMPRESS": ddp.fp16_compress_hook, "BF16_COMPRESS": ddp.bf16_compress_hook}
    for kind in ddp.DDPCommHookType:
        byhand = model_of(hooks.get(kind.name, ddp.allreduce_hook))
        expected = gradients(byhand, 0)
        if kind.name == "NOOP":
            with byhand.no_sync():
                expected = gradients(byhand, 0)
        for state in (None, group):
            model = model_of()
            ddp.register_ddp_comm_hook(kind, model, state)
            assert gradients(model, 0).tobytes() == expected.tobytes(), kind
            used = model.comm_hook[0]
            assert (
                used.rank == int(kind.name[-1:] == "2") + 1 if "SGD" in kind.name else used is state
            )


LAWS = [
    hooks_of_the_table_are_those_by_name,
    the_plain_hook_changes_no_bit,
    narrow_floats_round_once,
    what_was_left_out_is_sent_later,
    what_a_hook_carries_is_saved_and_loaded,
    what_was_left_out_follows_into_other_buckets,
    powersgd_of_full_rank_is_exact,
    powersgd_converges_to_a_repeated_gradient,
    topk_keeps_the_largest,
    a_bucket_tells_what_is_in_it,
    futures_answer_for_buckets,
    hooks_are_refused_where_they_do_not_belong,
    answers_of_another_size_are_refused,
]
