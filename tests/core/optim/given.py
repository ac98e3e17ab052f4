"""Parameters and gradients for the tests of optimizers."""

import numpy

import core

SHAPES = [(3, 4), (4,), (), (70, 90), (2, 3, 5), (150, 120), (0, 3)]


def params(dtype="float32", shapes=SHAPES, seed=0):
    source = numpy.random.default_rng(seed)
    return [
        core.tensor(source.standard_normal(shape)).to(getattr(core, dtype)).requires_grad_()
        for shape in shapes
    ]


def give(ps, step, left_out=()):
    source = numpy.random.default_rng([3, step])
    for i, p in enumerate(ps):
        g = core.tensor(source.standard_normal(p.array.shape)).to(p.device, p.dtype)
        p.grad = None if i in left_out else g
