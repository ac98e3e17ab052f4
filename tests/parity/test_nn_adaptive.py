"""AdaptiveLogSoftmaxWithLoss gives PyTorch's probabilities, predictions and errors.

Its forward stands in the table of all modules.
"""

import numpy
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is the oracle of these tests")

import core  # noqa: E402
from core import nn  # noqa: E402
from tests.parity.nn_compare import assert_same, copy_state  # noqa: E402


def pair():
    ours = nn.AdaptiveLogSoftmaxWithLoss(16, 12, [3, 7], 2.0).double()
    theirs = torch.nn.AdaptiveLogSoftmaxWithLoss(16, 12, [3, 7], 2.0).double()
    copy_state(ours, theirs)
    return ours, theirs


@pytest.mark.parametrize("shift", [-9.0, 0.0, 9.0])  # all in the shortlist, some, none
def test_probabilities_and_predictions(shift):
    ours, theirs = pair()
    with core.no_grad(), torch.no_grad():
        theirs.head.weight[3:] += shift
    copy_state(ours, theirs)
    x = abs(numpy.random.default_rng(3).standard_normal((20, 16)))
    assert_same(ours.log_prob(core.tensor(x)), theirs.log_prob(torch.tensor(x)), 1e-12)
    assert_same(ours.predict(core.tensor(x)), theirs.predict(torch.tensor(x)), 0)


@pytest.mark.parametrize("cutoffs", [[], [0, 3], [3, 3], [5, 3], [3, 12], [2.5]])
def test_cutoffs_that_do_not_rise_between_the_ends_are_refused(cutoffs):
    for library in (nn, torch.nn):
        with pytest.raises(ValueError, match="cutoffs should be a sequence of"):
            library.AdaptiveLogSoftmaxWithLoss(16, 12, cutoffs)


WRONG = [((4, 16), [0, 1, 2]), ((16,), [0]), ((4, 16), [[0], [1], [2], [3]]), ((4, 16), 0),
         ((2, 16), [0, 12]), ((2, 16), [-1, 0])]  # fmt: skip


@pytest.mark.parametrize(("shape", "target"), WRONG)
def test_targets_that_do_not_fit_are_refused(shape, target):
    ours, theirs = pair()
    with pytest.raises(RuntimeError) as expected:
        theirs(torch.zeros(shape, dtype=torch.float64), torch.tensor(target))
    with pytest.raises(RuntimeError) as given:
        ours(core.zeros(shape, dtype=core.float64), core.tensor(target))
    assert str(given.value).split()[:4] == str(expected.value).split()[:4]
