"""A model whose two parts sit on two devices: alone, and on ranks with two devices each."""

import numpy as np
import pytest

import core
import ddp
from core import nn, optim


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
