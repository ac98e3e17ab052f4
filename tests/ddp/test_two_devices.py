"""A model whose two parts sit on two devices: alone, and on ranks with two devices each."""

import collections

import numpy as np
import pytest

import core
import ddp
from core import nn, optim
from ddp.current_group import current_group
from tests.ddp import (
    beside_laws,
    ddp_laws,
    hook_laws,
    join_laws,
    layer_laws,
    local_sgd_laws,
    ported_laws,
    shard_laws,
    wrap_laws,
)


@pytest.fixture(autouse=True)
def four_gpus(monkeypatch):
    monkeypatch.setenv("UNISON_SIMULATED_GPUS", "4")


class Split(nn.Module):
    """A perceptron with its halves on two devices."""

    def __init__(self, first, second):
        super().__init__()
        core.manual_seed(2)
        self.places = first, second
        self.head = nn.Linear(4, 6).double().to(first)
        self.tail = nn.Linear(6, 3).double().to(second)

    def forward(self, x):
        hidden = self.head(x.to(self.places[0])).relu()
        return self.tail(hidden.to(self.places[1]))


def trained(model, x):
    opt = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for _ in range(3):
        opt.zero_grad()
        (model(x) ** 2).mean().backward()
        opt.step()
    return [p.detach().cpu().numpy() for p in model.parameters()]


def batch():
    return core.from_numpy(np.random.default_rng(0).normal(size=(8, 4)))


def test_it_equals_one_device():
    whole, split = Split("cpu", "cpu"), Split("cuda:0", "cuda:1")
    expected, found = trained(whole, batch()), trained(split, batch())
    assert {str(p.device) for p in split.parameters()} == {"cuda:0", "cuda:1"}
    for p, q in zip(found, expected, strict=True):
        np.testing.assert_array_equal(p, q)


def test_anomaly_mode_looks_for_nan_where_the_gradient_lies():
    with pytest.warns(UserWarning, match="Anomaly"), core.autograd.detect_anomaly():
        found = trained(Split("cuda:0", "cuda:1"), batch())
    for p, q in zip(found, trained(Split("cpu", "cpu"), batch()), strict=True):
        np.testing.assert_array_equal(p, q)


def test_ranks_whose_models_are_on_other_kinds_of_devices_are_told():
    def run():
        device = "cuda" if ddp.get_rank() else "cpu"
        ddp.DistributedDataParallel(nn.Linear(2, 1).to(device))

    with pytest.raises(ValueError, match=r"\(1, 2\) on cpu.*, rank 1 has .* on cuda"):
        ddp.simulate(run, 2)


@pytest.mark.parametrize("size", [1, 2])
def test_ranks_with_two_devices_each_train_together(size):
    expected = trained(Split("cpu", "cpu"), batch())

    def run():
        rank = ddp.get_rank()
        model = Split(f"cuda:{2 * rank}", f"cuda:{2 * rank + 1}")
        return trained(ddp.DistributedDataParallel(model), batch()[rank::size])

    for found in ddp.simulate(run, size):
        for p, q in zip(found, expected, strict=True):
            np.testing.assert_allclose(p, q, rtol=1e-12)


class Sums(nn.Module):
    """The first layer's output for all tensors of a nested input."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, batch, scale):
        tensors = list(batch.values()) if isinstance(batch, dict) else batch
        return self.layer(sum(tensors)) * scale["by"]


Pair = collections.namedtuple("Pair", "a b")


def test_inputs_are_moved_to_the_gpu_of_device_ids():
    def run():
        rank = ddp.get_rank()
        model = ddp.DistributedDataParallel(Sums().to(rank), device_ids=[rank])
        a, b, scale = core.ones(2, 4), core.ones(2, 4).to(3 - rank), {"by": core.full((1,), 2.0)}
        for inputs in ((a, b), [a, b], {"a": a, "b": b}, Pair(a, b)):
            model.zero_grad()
            out = model(inputs, scale=scale)
            assert out.device == core.device("cuda", rank)
            out.sum().backward()
            assert model.module.layer.bias.grad.tolist() == [4.0] * 3
        packed = nn.utils.rnn.pack_sequence([core.ones(3, 4), core.ones(1, 4)])
        recurrent = ddp.DistributedDataParallel(nn.GRU(4, 2).to(rank), device_ids=[rank])
        out, _ = recurrent(packed)
        assert out.data.device == core.device("cuda", rank)
        return True

    assert ddp.simulate(run, 2) == [True, True]


def test_a_model_may_move_after_it_was_wrapped():
    def run():
        model = ddp.DistributedDataParallel(Sums())
        model.to(ddp.get_rank())
        scale = {"by": core.full((1,), 1.0 + ddp.get_rank()).to(ddp.get_rank())}
        model((core.ones(2, 4).to(ddp.get_rank()),), scale).sum().backward()
        return model.module.layer.bias.grad.tolist()

    assert ddp.simulate(run, 2) == [[3.0] * 3] * 2


def test_batch_norm_over_ranks_needs_no_current_device():
    def run():
        place = core.device("cuda", ddp.get_rank())
        norm = ddp.SyncBatchNorm(3).to(place)
        x = core.ones(4, 3, device=place).requires_grad_()
        norm(x).sum().backward()
        return x.grad.device == place and int(norm.num_batches_tracked) == 1

    assert ddp.simulate(run, 2) == [True, True]


def test_what_comes_from_another_gpu_is_added_where_the_tensor_lies():
    x = core.ones(3, device="cuda:0").requires_grad_()
    ((x * 2).sum() + (x.to("cuda:1") * 3).sum().to("cuda:0")).backward()
    assert x.grad.tolist() == [5.0] * 3


ELSEWHERE = [
    ddp_laws.unused_parameters_keep_no_gradient,
    ddp_laws.weighted_backward_divides_by_the_global_weight,
    ddp_laws.frozen_and_unfrozen_between_steps,
    ddp_laws.accumulation_without_sync_equals_one_step,
    beside_laws.an_exception_that_all_ranks_catch,
    wrap_laws.an_output_that_the_loss_leaves_out_changes_nothing,
    wrap_laws.layers_without_outputs_and_outputs_without_gradients,
    wrap_laws.hooks_after_a_gradient_see_the_reduced_one,
    join_laws.ranks_that_ran_out_keep_the_others_company,
    join_laws.buffers_that_are_not_broadcast_stay_each_ranks_own,
    hook_laws.the_plain_hook_changes_no_bit,
    hook_laws.what_was_left_out_is_sent_later,
    local_sgd_laws.ranks_go_apart_and_meet,
    ported_laws.gradients_flow_as_if_one_process_had_all_pieces,
    layer_laws.it_trains_under_ddp_over_the_orthogonal_group,
]


def on_a_gpu_that_is_not_current(law, monkeypatch):
    """The law, with all tensors of rank r on GPU r + 1, while GPU 0 stays the current one."""
    shared, taken = core.from_numpy, core.Tensor.numpy

    def place():
        return f"cuda:{current_group().rank + 1}"

    def there(array):
        return shared(array).to(place()) if array.dtype.kind == "f" else shared(array)

    monkeypatch.setattr(core, "from_numpy", there)
    monkeypatch.setattr(core.Tensor, "numpy", lambda x, **how: taken(x.cpu(), **how))

    def run():
        core.set_default_device(place())
        return law()

    return run


@pytest.mark.parametrize("law", ELSEWHERE, ids=lambda law: law.__name__)
def test_laws_of_ranks_need_no_current_device(law, monkeypatch):
    ddp.simulate(on_a_gpu_that_is_not_current(law, monkeypatch), 2)


def test_a_group_that_moves_no_arrays_of_gpus_names_the_one_that_does():
    def reduce():
        with pytest.raises(TypeError, match=r"takes a numpy.ndarray.*init_process_group\('nccl'\)"):
            ddp.all_reduce(core.ones(1, device="cuda"))

    ddp.simulate(reduce, 2)


@pytest.mark.parametrize("backend", [None, "gloo", "single"])
def test_a_script_alone_reduces_tensors_of_any_gpu(backend):
    ddp.init_process_group(backend)
    try:
        x, out = core.full((2,), 3.0, device="cuda:1"), core.zeros(2, device="cuda:1")
        for group in (None, ddp.new_group()):
            ddp.all_reduce(x, ddp.ReduceOp.AVG, group, async_op=True).wait()
            ddp.all_gather([out], x, group)
            assert x.tolist() == out.tolist() == [3.0, 3.0] and out.device == x.device
            out.zero_()
    finally:
        ddp.destroy_process_group()


def test_shards_have_the_same_bits_on_any_gpus(monkeypatch):
    def trained_on_shards():
        module = ddp_laws.mlp()
        module[2].bias.register_hook(lambda g: g * 2)
        model = shard_laws.wrapped(module)
        opt = optim.Adam(model.parameters(), lr=0.01)
        for step in range(3):
            opt.zero_grad()
            x, y = shard_laws.data(step)
            penalty = sum(p.pow(2).sum() for p in model.parameters())
            (shard_laws.loss_of(model, x, y) + penalty / 100).backward()
            opt.step()
        ddp.sync_buffers(model)
        return ddp.check_sync(model)

    run = on_a_gpu_that_is_not_current(trained_on_shards, monkeypatch)
    assert len({*ddp.simulate(run, 1), *ddp.simulate(run, 2)}) == 1
