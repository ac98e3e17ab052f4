"""Averaged models, their learning rates and their batch norms are PyTorch's."""

import numpy
import pytest

import core

torch = pytest.importorskip("torch")


def models():
    """The same small network with a batch norm, in both libraries."""
    torch.manual_seed(0)
    theirs = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    ours = core.nn.Sequential(core.nn.Linear(3, 4), core.nn.BatchNorm1d(4))
    ours.load_state_dict({k: core.tensor(v.numpy().copy()) for k, v in theirs.state_dict().items()})
    return ours, theirs


def inputs(count):
    source = numpy.random.default_rng(3)
    return [source.standard_normal((5, 3)).astype("float32") for _ in range(count)]


AVERAGES = {
    "default": lambda swa: {},
    "swa": lambda swa: {"avg_fn": swa.get_swa_avg_fn()},
    "ema": lambda swa: {"avg_fn": swa.get_ema_avg_fn(0.9)},
    "multi swa": lambda swa: {"multi_avg_fn": swa.get_swa_multi_avg_fn()},
    "multi ema": lambda swa: {"multi_avg_fn": swa.get_ema_multi_avg_fn(0.8)},
    "buffers": lambda swa: {"avg_fn": swa.get_ema_avg_fn(0.9), "use_buffers": True},
    "own": lambda swa: {"avg_fn": lambda kept, new, count: kept * 0.5 + new * 0.5},
}


@pytest.mark.parametrize("name", AVERAGES)
def test_averages_are_the_same(name):
    ours, theirs = models()
    a = core.optim.swa_utils.AveragedModel(ours, **AVERAGES[name](core.optim.swa_utils))
    b = torch.optim.swa_utils.AveragedModel(theirs, **AVERAGES[name](torch.optim.swa_utils))
    step_a = core.optim.SGD(ours.parameters(), lr=0.05)
    step_b = torch.optim.SGD(theirs.parameters(), lr=0.05)
    for x in inputs(5):
        for module, model, optimizer, average in (
            (core, ours, step_a, a),
            (torch, theirs, step_b, b),
        ):
            optimizer.zero_grad()
            (model(module.tensor(x)).tanh() ** 3).sum().backward()
            optimizer.step()
            average.update_parameters(model)
    found, expected = a.state_dict(), b.state_dict()
    assert list(found) == list(expected)
    for key, value in expected.items():
        numpy.testing.assert_allclose(found[key].numpy(), value.numpy(), 1e-4, 1e-5, err_msg=key)


def test_the_average_after_k_updates_is_the_mean():
    ours, _ = models()
    average = core.optim.swa_utils.AveragedModel(ours)
    seen = []
    for i in range(4):
        with core.no_grad():
            for p in ours.parameters():
                p.add_(i)
        seen.append(ours[0].weight.detach().numpy().copy())
        average.update_parameters(ours)
    numpy.testing.assert_allclose(
        average.module[0].weight.detach().numpy(), numpy.mean(seen, 0), 1e-6
    )
    assert int(average.n_averaged) == 4


def test_update_bn_gives_the_same_statistics():
    ours, theirs = models()
    batches = inputs(6)
    core.optim.swa_utils.update_bn([(core.tensor(x), 0) for x in batches], ours.eval())
    torch.optim.swa_utils.update_bn([(torch.tensor(x), 0) for x in batches], theirs.eval())
    for key, value in theirs.state_dict().items():
        numpy.testing.assert_allclose(ours.state_dict()[key].numpy(), value.numpy(), 1e-5, 1e-6)
    assert not ours.training and ours[1].momentum == 0.1


@pytest.mark.parametrize(
    "options",
    [{}, {"anneal_strategy": "linear", "anneal_epochs": 5}, {"anneal_epochs": 0}],
    ids=str,
)
def test_swalr_gives_the_same_rates(options):
    found = []
    for module in (core, torch):
        p = module.ones(2).requires_grad_()
        optimizer = module.optim.SGD([p], lr=0.3)
        scheduler = module.optim.swa_utils.SWALR(optimizer, swa_lr=0.05, **options)
        rates = []
        for _ in range(15):
            optimizer.step()
            scheduler.step()
            rates.append(scheduler.get_last_lr()[0])
        found.append(rates)
    numpy.testing.assert_allclose(*found, rtol=1e-12)


def test_a_wrong_decay_raises():
    for function in ("get_ema_avg_fn", "get_ema_multi_avg_fn"):
        with pytest.raises(ValueError, match=r"Invalid decay value 1\.5"):
            getattr(core.optim.swa_utils, function)(1.5)
