"""What the accelerations of convolutions and pools are called with in test_kernels.py."""

import numpy

from core.ops import conv, conv_pool, pool

GENERATOR = numpy.random.default_rng(3)
ONE, PAIR, TWOS = (1,), (1, 1), (2, 2)


def normal(*shape):
    return GENERATOR.standard_normal(shape)


def frame(*sides):
    return tuple((n, n) if isinstance(n, int) else n for n in sides)


# Per op, the arguments of several calls: float arrays are differentiated, where the op allows it.
CONVOLUTIONS = {
    "images": (normal(2, 8, 11, 12), normal(5, 8, 3, 3), normal(5), PAIR, frame(1, 1), PAIR, 1),
    "small images": (normal(7, 4, 5, 4), normal(6, 4, 3, 3), None, PAIR, frame(1, 0), PAIR, 1),
    "stride": (normal(2, 9, 19, 18), normal(5, 9, 3, 2), normal(5), (2, 1), frame(1, 0), PAIR, 1),
    "by two": (normal(2, 17, 32, 31), normal(9, 17, 3, 3), None, TWOS, frame(1, 1), PAIR, 1),
    "by three": (normal(2, 17, 53, 49), normal(9, 17, 2, 5), None, (3, 3), frame(0, 2), PAIR, 1),
    "dilated twos": (normal(2, 17, 40, 9), normal(9, 17, 3, 3), None, TWOS, frame(1, 1), (2, 1), 1),
    "dilation": (normal(2, 9, 17, 16), normal(5, 9, 3, 3), None, PAIR, frame(2, 3), (2, 3), 1),
    "uneven frame": (normal(2, 9, 9, 9), normal(5, 9, 2, 2), None, PAIR, ((0, 1),) * 2, PAIR, 1),
    "wide frame": (normal(2, 9, 9, 9), normal(5, 9, 2, 2), None, PAIR, frame(3, 3), PAIR, 1),
    "one place": (normal(2, 65, 9, 9), normal(5, 65, 1, 1), normal(5), PAIR, frame(0, 0), PAIR, 1),
    "points": (normal(3, 5, 9, 8), normal(6, 5, 1, 1), normal(6), PAIR, frame(0, 0), PAIR, 1),
    "framed points": (normal(2, 9, 9, 9), normal(6, 9, 1, 1), None, PAIR, frame(1, 0), PAIR, 1),
    "many kernels": (normal(2, 5, 24, 24), normal(24, 5, 3, 3), None, PAIR, frame(0, 0), PAIR, 1),
    "first": (normal(9, 1, 25, 24), normal(12, 1, 3, 3), normal(12), PAIR, frame(1, 1), PAIR, 1),
    "firsts": (normal(3, 2, 41, 40), normal(20, 2, 3, 3), None, TWOS, frame(1, 1), (2, 1), 1),
    "groups": (normal(2, 8, 9, 9), normal(6, 4, 3, 3), normal(6), PAIR, frame(1, 1), PAIR, 2),
    "sequences": (normal(3, 9, 200), normal(4, 9, 3), normal(4), (1,), frame(1), (1,), 1),
    "volumes": (
        normal(2, 3, 5, 6, 7),
        normal(4, 3, 2, 3, 2),
        None,
        ONE * 3,
        frame(0, 1, 0),
        ONE * 3,
        1,
    ),
}


def gradients_of_convolutions(kind):
    calls = {}
    for name, (x, w, _, *window) in CONVOLUTIONS.items():
        g = normal(*conv.convolution.op.forward(x, w, None, *window).shape)
        if kind == "input":
            calls[name] = (g, w, x.shape[2:], *window)
        else:
            calls[name] = (x, g, w.shape[2:], *window)
    return calls


TIES = numpy.round(normal(3, 2, 6, 7))
HOLES = normal(2, 3, 6, 6)
HOLES[0, 1, 2:4, 3] = numpy.nan
ENDLESS = numpy.nan_to_num(HOLES, nan=-numpy.inf)


WINDOWS = {
    conv.convolution: CONVOLUTIONS,
    conv.conv_input: gradients_of_convolutions("input"),
    conv.conv_weight: gradients_of_convolutions("weight"),
    pool.max_windows: {
        "tiles": (normal(3, 2, 6, 8), (2, 2), (2, 2), frame(0, 0), PAIR),
        "odd": (normal(3, 2, 7, 9), (2, 3), (2, 3), frame(0, 0), PAIR),
        "ties": (TIES, (2, 2), (2, 2), frame(0, 0), PAIR),
        "not a number": (HOLES, (2, 2), (2, 2), frame(0, 0), PAIR),
        "overlapping": (normal(2, 2, 7, 7), (3, 3), (2, 2), frame(1, 1), PAIR),
        "single": (normal(2, 2, 3, 3), (1, 1), (1, 1), frame(0, 0), PAIR),
        "many": (normal(33, 4, 32, 32), (2, 2), (2, 2), frame(0, 0), PAIR),
        "wide": (normal(2, 2, 4, 300), (2, 2), (2, 2), frame(0, 0), PAIR),
        "long": (normal(3, 2, 70000), (3,), (3,), frame(0), (1,)),
        "deep": (normal(2, 2, 4, 7, 5), (2, 3, 2), (2, 3, 2), frame(0, 0, 0), (1, 1, 1)),
        "in another order": (normal(6, 8, 2, 3).T, (2, 2), (2, 2), frame(0, 0), PAIR),
    },
    conv_pool.conv_relu_pool: {
        "first": (normal(9, 1, 12, 14), normal(6, 1, 3, 3), normal(6), frame(1, 1), TWOS),
        "many": (normal(40, 1, 28, 28), normal(16, 1, 5, 5), normal(16), frame(2, 2), TWOS),
        "uneven frame": (normal(3, 2, 9, 9), normal(5, 2, 3, 3), None, ((2, 0), (0, 1)), (3, 2)),
        "ties": (TIES, numpy.round(normal(4, 2, 3, 2)), numpy.ones(4), frame(0, 0), TWOS),
        "not a number": (HOLES, normal(2, 3, 3, 3), normal(2), frame(1, 1), TWOS),
        "infinite": (ENDLESS, normal(2, 3, 3, 3), None, frame(1, 1), TWOS),
        "line": (normal(4, 2, 21), normal(5, 2, 2), normal(5), frame(0), (5,)),
        "deep": (normal(2, 1, 4, 7, 5), normal(2, 1, 3, 2, 2), None, frame(0, 0, 1), (2, 3, 2)),
    },
}
