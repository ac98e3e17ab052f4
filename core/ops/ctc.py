"""Connectionist temporal classification: the probability of all alignments of a target."""

from __future__ import annotations

from typing import Any

from core.autograd.dispatch import primitive
from core.autograd.op import underived
from core.backend import xp
from core.ops.choice import choose
from core.ops.promotion import accumulates_in


@primitive(label="CtcLossBackward0")
def ctc_each(x, extended, lengths, sizes):
    """Minus the log-probability of each target, over all its alignments with the input.

    `extended` is each target with blanks between (N, 2S + 1), `sizes` how much of it counts.
    Shape: (T, N, C) log-probabilities, ... -> (N,).
    Source: Graves, Fernandez, Gomez & Schmidhuber (2006).
    """
    return -Lattice(x, extended, lengths, sizes).total.astype(x.dtype)


ctc_each.defvjp(
    x=lambda g, x, extended, lengths, sizes: _pulled(
        g.reshape(1, -1, 1), ctc_pull(x, extended, lengths, sizes)
    ),
    extended=None,
    lengths=None,
    sizes=None,
)


def _pulled(g: Any, pull: Any) -> Any:
    """The gradient times the pull, which is NaN where no alignment fits; zero stays zero."""
    return choose(g == 0, 0, g * pull)


@primitive
def ctc_pull(x, extended, lengths, sizes):
    """Probabilities minus how often alignments pass each class, zero after the input's end.

    This is the gradient with respect to what log_softmax made `x` of, as PyTorch defines it.
    """
    module = xp(x)
    lattice = Lattice(x, extended, lengths, sizes)
    passing = module.exp(lattice.forward + lattice.backward() - lattice.total[:, None])
    occupied = module.zeros(x.shape, lattice.dtype)
    steps, batch, width = passing.shape
    rows = module.arange(batch)[:, None]
    for s in range(width):
        occupied[:, rows[:, 0], extended[:, s]] += passing[:, :, s]
    out = module.exp(x.astype(lattice.dtype)) - occupied
    late = module.arange(steps)[:, None] >= lengths
    return module.where(late[:, :, None], 0, out).astype(x.dtype)


ctc_pull.defvjp(x=underived("_ctc_loss_backward"), extended=None, lengths=None, sizes=None)


class Lattice:
    """All alignments: the log-probability of reaching each place of the target at each step."""

    def __init__(self, x: Any, extended: Any, lengths: Any, sizes: Any) -> None:
        module = self.module = xp(x)
        self.dtype = accumulates_in(x.dtype)
        self.low = self.dtype.type(-float("inf"))
        self.lengths, self.sizes = lengths, sizes
        steps, batch = x.shape[:2]
        rows = module.arange(batch)[:, None]
        self.emitted = x.astype(self.dtype, copy=False)[:, rows, extended]
        same = module.zeros(extended.shape, bool)
        same[:, 2:] = extended[:, 2:] == extended[:, :-2]
        # A blank may not be skipped between equal labels, nor a label between blanks.
        skips = module.arange(extended.shape[1]) % 2 == 1
        self.skip = skips & ~same
        self.inside = module.arange(extended.shape[1]) < sizes[:, None]
        alpha = module.where(module.arange(extended.shape[1]) < 2, self.emitted[0], self.low)
        alpha = module.where(self.inside, alpha, self.low)
        every = [alpha]
        for t in range(1, steps):
            alpha = self.step(alpha, self.skip, 1) + self.emitted[t]
            every.append(module.where(self.inside, alpha, self.low))
        self.forward = module.stack(every)
        last = self.forward[lengths - 1, rows[:, 0]]
        ends = last[rows[:, 0], sizes - 1]
        before = last[rows[:, 0], module.maximum(sizes - 2, 0)]
        self.total = module.logaddexp(ends, module.where(sizes > 1, before, self.low))

    def step(self, alpha: Any, skip: Any, by: int) -> Any:
        """The sum over staying, going on by one and, where allowed, by two."""
        module = self.module
        one = module.full(alpha.shape, self.low, self.dtype)
        two = one.copy()
        if by > 0:
            one[:, 1:], two[:, 2:] = alpha[:, :-1], alpha[:, :-2]
        else:
            one[:, :-1], two[:, :-2] = alpha[:, 1:], alpha[:, 2:]
        two = module.where(skip, two, self.low)
        return module.logaddexp(module.logaddexp(alpha, one), two)

    def backward(self) -> Any:
        """The log-probability of going from each place at each step to the end."""
        module = self.module
        steps = self.forward.shape[0]
        width = self.inside.shape[1]
        places = module.arange(width)
        end = (places == self.sizes[:, None] - 1) | (places == self.sizes[:, None] - 2)
        end = module.where(end, self.dtype.type(0), self.low)
        skip = module.zeros(self.skip.shape, bool)
        skip[:, :-2] = self.skip[:, 2:]
        beta = module.full(end.shape, self.low, self.dtype)
        every = []
        for t in range(steps - 1, -1, -1):
            if t + 1 < steps:
                beta = self.step(beta + self.emitted[t + 1], skip, -1)
            beta = module.where((self.lengths == t + 1)[:, None], end, beta)
            every.append(beta)
        return module.stack(every[::-1])
