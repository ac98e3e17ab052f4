"""Random programs of views, writes in place and arithmetic: step by step what PyTorch does."""

import hypothesis
import hypothesis.strategies as st
import pytest

from tests.parity.programs import close, core, plain, torch

# Each step takes two tensors and gives a new one, or one that it wrote, or None. Two things are
# left out that we do and PyTorch refuses: reading memory that overlaps what is written, and
# writing twice through a view an op that keeps its result (we keep it apart from the memory).
STEPS = {
    "mul": lambda m, a, b: a * b,
    "add": lambda m, a, b: a + b,
    "tanh": lambda m, a, b: a.tanh(),
    "exp": lambda m, a, b: (a * 0.1).exp(),
    "row": lambda m, a, b: a[1],
    "part": lambda m, a, b: a[:, 1:],
    "turned": lambda m, a, b: a.t(),
    "flat": lambda m, a, b: a.reshape(-1),
    "square": lambda m, a, b: a.view(2, 2),
    "unbound": lambda m, a, b: a.unbind(0)[0],
    "column": lambda m, a, b: a.select(-1, 0),
    "wide": lambda m, a, b: a[None].expand(2, *a.shape),
    "detached": lambda m, a, b: a.detach(),
    "copied": lambda m, a, b: a.clone(),
    "mul_": lambda m, a, b: a.mul_(b.clone()),
    "add_": lambda m, a, b: a.add_(b.clone()),
    "double_": lambda m, a, b: a.mul_(1.5),
    "tanh_": lambda m, a, b: None if a._is_view() else a.tanh_(),
    "copy_": lambda m, a, b: a.copy_(b.clone()),
    "zero_": lambda m, a, b: a.zero_(),
    "assign": lambda m, a, b: a.__setitem__(0, b[0].clone()),
    "assign number": lambda m, a, b: a.__setitem__(-1, 0.5),
    "write unrecorded": lambda m, a, b: unrecorded(m, lambda: a.mul_(0.5)),
    "view unrecorded": lambda m, a, b: unrecorded(m, lambda: a[0]),
    "data": lambda m, a, b: a.data.add_(1),
}


def unrecorded(m, function):
    with m.no_grad():
        return function()


class Run:
    """One library's run of a program."""

    def __init__(self, m):
        self.m = m
        values = [[0.1, -0.2], [0.3, 0.4]]
        self.leaf = m.tensor(values, dtype=m.float64, requires_grad=True)
        self.constant = m.tensor([[1.0, 2.0], [-1.0, 0.5]], dtype=m.float64)
        self.known = [self.leaf, self.constant, self.leaf * 1, self.constant.clone()]

    def step(self, name, i, j):
        """What a step gives, or the kind of exception it raises."""
        a, b = self.known[i % len(self.known)], self.known[j % len(self.known)]
        try:
            out = STEPS[name](self.m, a, b)
        except Exception as error:
            return type(error)
        if out is not None and out.dim():
            self.known.append(out)
        return [a._version, a.is_leaf, *plain(a)[:4], None if out is None else plain(out)[:4]]

    def gradient(self):
        """The gradient of everything that is tracked, or the kind of exception."""
        try:
            total = sum((x * x).sum() for x in self.known if x.requires_grad and not x.is_leaf)
            total = total + self.leaf.sum()
            total.backward()
        except Exception as error:
            return type(error)
        return plain(self.leaf.grad)


programs = st.lists(
    st.tuples(st.sampled_from(list(STEPS)), st.integers(0, 30), st.integers(0, 30)),
    min_size=3,
    max_size=12,
)


@pytest.mark.filterwarnings("ignore:The .grad attribute")
@hypothesis.given(programs)
@hypothesis.settings(max_examples=400)
def test_every_step_and_the_gradient_are_pytorchs(program):
    ours, theirs = Run(core), Run(torch)
    for name, i, j in program:
        mine, yours = ours.step(name, i, j), theirs.step(name, i, j)
        assert close(mine, yours), f"{name} {i} {j}: {mine}, PyTorch: {yours}"
    assert close(ours.gradient(), theirs.gradient())
