"""What warns of a likely mistake warns in both libraries, at the program's own line."""

import warnings

import numpy
import pytest

torch = pytest.importorskip("torch", reason="the oracle: pip install unison-ddp[parity]")

import core  # noqa: E402 - after the skip


def read_only():
    """An array that may not be written to."""
    array = numpy.ones(3)
    array.flags.writeable = False
    return array


def scheduled(m):
    """An optimizer and its scheduler."""
    optimizer = m.optim.SGD([m.nn.Parameter(m.ones(1))], lr=0.1)
    return optimizer, m.optim.lr_scheduler.StepLR(optimizer, 1)


def loss_of_a_column(name):
    """A loss of (3, 1) against (3,): nine differences for three."""
    return lambda m: getattr(m.nn.functional, name)(m.ones(3, 1), m.ones(3))


def in_order(m):
    optimizer, scheduler = scheduled(m)
    optimizer.step()
    scheduler.step()


PROGRAMS = {
    "the gradient of a result": lambda m: (m.ones(1, requires_grad=True) * 2).grad,
    "scheduler first": lambda m: scheduled(m)[1].step(),
    "in order": in_order,
    "read-only memory": lambda m: m.from_numpy(read_only()),
    "memory": lambda m: m.from_numpy(numpy.ones(3)),
    "tensor of a tensor": lambda m: m.tensor(m.ones(2)),
    "new tensor of a tensor": lambda m: m.ones(2).new_tensor(m.ones(2)),
    "tensor of tensors": lambda m: m.tensor([m.ones(()), m.ones(())]),
    "old flag of a loss": lambda m: m.nn.MSELoss(size_average=False),
    "old flag": lambda m: m.nn.functional.cross_entropy(
        m.ones(1, 2), m.tensor([0]), reduce=False, size_average=True
    ),
    "mean of a divergence": lambda m: m.nn.functional.kl_div(m.zeros(2, 3), m.ones(2, 3)),
    "batchmean": lambda m: m.nn.functional.kl_div(
        m.zeros(2, 3), m.ones(2, 3), reduction="batchmean"
    ),
    "softmax of what": lambda m: m.nn.functional.softmax(m.ones(2, 3)),
    "softmax layer of what": lambda m: m.nn.Softmax()(m.ones(2, 3)),
    "logarithm of what": lambda m: m.nn.functional.log_softmax(m.ones(2, 3)),
    "softmax": lambda m: m.nn.Softmax(1)(m.ones(2, 3)),
    "box turned": lambda m: m.ones(2, 3, 4).T,
    "line turned": lambda m: m.ones(2).T,
    "matrix turned": lambda m: m.ones(2, 3).T,
    "dropout behind the only layer": lambda m: m.nn.LSTM(2, 2, dropout=0.5),
    "dropout between layers": lambda m: m.nn.GRU(2, 2, 2, dropout=0.5),
    "spread of one": lambda m: m.ones(1).std(),
    "spread of columns": lambda m: m.ones(2, 1).var(1),
    "spread of no row": lambda m: m.cov(m.ones(2, 1)),
    "mask of bytes": lambda m: m.ones(3)[m.tensor([1, 0, 1], dtype=m.uint8)],
    "bytes to choose by": lambda m: m.where(m.tensor([1, 0], dtype=m.uint8), m.ones(2), 0.0),
    "out of another size": lambda m: m.add(m.ones(3), 1, out=m.ones(2)),
    "out without elements": lambda m: m.add(m.ones(3), 1, out=m.empty(0)),
    "clipping nothing": lambda m: m.nn.utils.clip_grad_norm_((x for x in ()), 1.0),
    "anomaly mode": lambda m: m.autograd.detect_anomaly(),
    "epoch given": lambda m: (in_order(m), scheduled(m)[1].get_last_lr()),
}
PROGRAMS |= {
    name: loss_of_a_column(name) for name in ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss")
}


def warned(program, m):
    """The kinds of warnings that a program leads to, and the files they are told at."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        warnings.simplefilter("ignore", RuntimeWarning)  # NumPy's, which the package leaves out
        program(m)
    return [x.category for x in seen], [x.filename for x in seen]


@pytest.fixture(autouse=True)
def every_time():
    before = torch.is_warn_always_enabled()
    torch.set_warn_always(True)
    yield
    torch.set_warn_always(before)


@pytest.mark.parametrize("name", PROGRAMS)
def test_warnings(name):
    ours, where = warned(PROGRAMS[name], core)
    assert ours == warned(PROGRAMS[name], torch)[0]
    assert set(where) <= {__file__}
