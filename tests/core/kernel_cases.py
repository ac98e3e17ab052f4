"""What the accelerations are called with in test_kernels.py: per op, the arguments of calls."""

import numpy

from core.ops import (
    activation,
    attention,
    choice,
    elementwise,
    exponential,
    extreme,
    gamma,
    gather,
    linalg,
    loss,
    masked,
    movement,
    norm,
    parts,
    reduce,
    scan,
    shape,
    sort,
    special,
    triangle,
)
from core.ops import statistics as spread
from tests.core.kernel_windows import WINDOWS, normal


def statistics(x, axes, eps=1e-5):
    mean = x.mean(axes, keepdims=True)
    return mean, 1 / numpy.sqrt(x.var(axes, keepdims=True) + eps), axes, eps


def factors(x, axes):
    """One factor and one shift per channel of a batch, or per element of what is normalised."""
    if axes[0] == 0:
        shape = (1, x.shape[1], *(1,) * (x.ndim - 2))
    else:
        shape = tuple(x.shape[i] for i in axes)
    return normal(*shape), normal(*shape)


BATCH, ROWS = normal(4, 3, 5, 6), normal(7, 5, 12)
NORMS = {
    "batch": (BATCH, (0, 2, 3)),
    "rows": (ROWS, (2,)),
    "several dims": (ROWS, (1, 2)),
    "samples": (BATCH, (2, 3)),
    "few places": (normal(6, 4), (0,)),
    "many rows": (normal(5000, 16), (1,)),
    "many images": (normal(70, 4, 16, 16), (0, 2, 3)),
    "in another order": (ROWS.transpose(1, 0, 2), (2,)),
}
WITH_NAN, TURNED = normal(3, 4), normal(4, 3).T
WITH_NAN[1, 2] = numpy.nan
INFINITE = numpy.array([[numpy.inf, 1, 2], [-numpy.inf, 0, 1], [-numpy.inf] * 3])
SOFTMAX = {
    "far apart": (normal(5, 4) * 30, 1),
    "rows": (normal(5, 4), 1),
    "columns": (normal(5, 4), 0),
    "long rows": (normal(3, 100), 1),
    "turned": (TURNED, 1),
    "vector": (normal(6), 0),
    "a gap": (WITH_NAN, 1),
}
REDUCED = {
    "all": (normal(5, 4), None, False),
    "all, kept": (normal(5, 4), None, True),
    "many": (normal(30, 40), None, False),
    "rows": (normal(5, 4), 1, False),
    "rows, kept": (normal(5, 4), -1, True),
    "columns": (normal(5, 4), 0, False),
    "long rows": (normal(3, 90), 1, True),
    "vector": (normal(7), 0, False),
    "three dims": (normal(2, 3, 4), 1, True),
    "in another order": (TURNED, 1, False),
    "with zeros": (numpy.eye(3), 1, False),
}
CLASSES = numpy.array([3, 0, 1, 1, 2])
EACH = {
    "few": (normal(3, 4) * 3,),
    "many": (normal(40, 30) * 3,),
    "turned": (TURNED,),
    "a number": (numpy.array(0.7),),
    "none": (normal(0, 2),),
    "far out": (numpy.array([-numpy.inf, -40.0, -0.0, 0.0, 1e-20, 5.5, 40.0, numpy.inf]),),
}
TRIANGLES = {
    "square": (normal(4, 4), 0),
    "wide": (normal(2, 3, 5), 1),
    "a gap": (WITH_NAN, -1),
    "large": (normal(130, 130), -3),
    "turned": (TURNED, 0),
}
ORDERS = {
    "rows": (normal(5, 4), 1, False),
    "falling": (normal(5, 4), -1, True),
    "vector": (normal(7), 0, True),
    "three dims": (normal(2, 3, 4), 2, True),
    "columns": (normal(5, 4), 0, False),
    "a gap": (WITH_NAN, 1, True),
    "ties": (numpy.round(normal(3, 9)), 1, True),
    "in another order": (TURNED, 1, False),
}
HEADS = [normal(3, 2, 6, 4) for _ in range(3)]
TABLE = {
    **WINDOWS,
    activation.gelu_erf: {
        "long": (normal(3, 30000) * 3,),
        "far out": (numpy.append(numpy.linspace(-30, 30, 301), 3e38),),
        "infinite": (numpy.array([numpy.inf, 1.0, -2.0]),),
        "in another order": (normal(5, 7).T,),
    },
    activation.gelu_tanh: {"long": (normal(3, 30000) * 3,), "in another order": (normal(5, 7).T,)},
    attention.attention: {
        "plain": (*HEADS, None, 0.0, False, None),
        "causal": (*HEADS, None, 0.0, True, 0.3),
        "other lengths": (HEADS[0][:, :, :3], *HEADS[1:], None, 0.0, True, None),
        "large scores": (HEADS[0] * 40, HEADS[1] * 5, HEADS[2], None, 0.0, True, None),
        "shared keys": (HEADS[0], HEADS[1][:1], HEADS[2][:1], None, 0.0, False, None),
        "many heads": (*(normal(20, 8, 32, 3) for _ in range(3)), None, 0.0, True, None),
    },
    norm.moments: NORMS,
    norm.normalise: {
        name: (x, *statistics(x, axes)[:2], *factors(x, axes), *statistics(x, axes)[2:])
        for name, (x, axes) in NORMS.items()
    }
    | {
        "no factor": (BATCH, *statistics(BATCH, (0, 2, 3))[:2], None, None, (0, 2, 3), 1e-5),
        "rows, no shift": (ROWS, *statistics(ROWS, (2,))[:2], normal(12), None, (2,), 1e-5),
    },
    norm.affine: {
        "channels": (BATCH, normal(1, 3, 1, 1), normal(1, 3, 1, 1)),
        "rows": (ROWS, normal(12), normal(12)),
        "no shift": (ROWS, normal(12), None),
        "elements": (ROWS, normal(5, 12), normal(5, 12)),
    },
    linalg.linear: {
        "matrix": (normal(6, 5), normal(4, 5), normal(4)),
        "many": (normal(3, 6, 5), normal(4, 5), None),
        "vector": (normal(5), normal(4, 5), normal(4)),
        "in another order": (normal(6, 3, 5).transpose(1, 0, 2), normal(4, 5), normal(4)),
        "few rows": (normal(16, 260) / 16, normal(260, 260), normal(260)),
        "very few rows": (normal(5, 520) / 16, normal(400, 520), None),
    },
    linalg.matrix_product: {
        "matrices": (normal(6, 5), normal(5, 4)),
        "many with one": (normal(2, 3, 6, 5), normal(5, 4)),
        "many": (normal(3, 6, 5), normal(3, 5, 4)),
    },
    loss.softmax_axis: SOFTMAX | {"infinite": (INFINITE, 1)},
    loss.log_softmax_axis: SOFTMAX,
    scan.cumsum: {"rows": (normal(5, 4), 1, None), "columns": (normal(5, 4), -2, None)},
    sort.sort_along: ORDERS,
    sort.largest_few: {
        name: (x, min(2, x.shape[dim]), dim, up) for name, (x, dim, up) in ORDERS.items()
    }
    | {"of many": (numpy.round(normal(60, 100), 1), 5, 1, True)},
    spread.median_of_all: {"few": (normal(3, 4),), "a gap": (WITH_NAN,), "one": (normal(1),)},
    shape.expand_axis: {
        "first": (normal(2, 3), 0),
        "last": (normal(2, 3), 2),
        "in another order": (TURNED, 1),
        "empty": (normal(0, 3), 1),
        "a number": (normal(1).reshape(()), 0),
    },
    loss.softmax_nll: {
        "mean": (normal(5, 4), CLASSES, None, 0.2),
        "long rows": (normal(5, 90), CLASSES, None, 1.0),
        "weighted": (normal(5, 4), CLASSES, numpy.arange(5), 1.0),
        "a gap": (numpy.vstack([WITH_NAN, WITH_NAN[:2]]), CLASSES, None, 0.2),
    },
    activation.softplus_at: {
        "plain": (normal(4, 5) * 20, 1, 20),
        "scaled": (normal(4, 5) * 20, 2.5, 10.0),
        "far out": (numpy.array([-120.0, -30.0, 0.0, 19.9, 20.1, 120.0]), 1, 20),
        "many": (normal(70_000), 1, 20),
        "turned": (TURNED, 1, 20),
    },
    activation.mish: EACH,
    activation.silu: EACH,
    activation.elu_at: {
        "plain": (normal(4, 5), 1.0, 1, 1),
        "scaled": (normal(4, 5), 1.7, 1.05, 0.5),
        "turned": (TURNED, 1.0, 1, 1),
    },
    parts.diagonal_array: {
        "above": (normal(4, 5), 1, 0, 1),
        "below": (normal(2, 5, 4), -2, 1, 2),
        "swapped": (normal(2, 5, 4), 0, 2, 0),
        "beyond": (normal(4, 5), 7, 0, 1),
        "turned": (TURNED, 0, 0, 1),
    },
    movement.roll_axes: {
        "rows": (normal(4, 5), (1,), (0,)),
        "back": (normal(4, 5), (-7,), (1,)),
        "both": (normal(4, 5), (1, 2), (0, 1)),
        "not at all": (normal(4, 5), (5,), (1,)),
        "turned": (TURNED, (1,), (0,)),
    },
    movement.flip_axes: {
        "rows": (normal(4, 5), (0,)),
        "both": (normal(4, 5), (0, 1)),
        "turned": (TURNED, (1,)),
    },
    elementwise.lerp: {
        "near": (normal(4, 5), normal(4, 5), 0.3),
        "far": (normal(4, 5), normal(5), 0.7),
        "each": (normal(4, 5), normal(4, 5), normal(4, 5)),
    },
    elementwise.addcmul: {
        "plain": (normal(4, 5), normal(4, 5), normal(5), 1),
        "scaled": (normal(4, 5), normal(4, 5), normal(5), 0.3),
    },
    loss.picked_total: {
        "rows": (normal(5, 4), CLASSES, 5),
        "many rows": (normal(100, 4), numpy.arange(100) % 4, 1),
        "turned": (normal(4, 5).T, CLASSES, 5),
    },
    loss.place_rows: {"rows": (normal(5), CLASSES, 4), "none": (normal(0), CLASSES[:0], 4)},
    norm.layer_normalised: {
        "rows": (normal(3, 4), normal(4), normal(4), (1,), 1e-5),
        "many rows": (normal(700, 100) + 3, normal(100), normal(100), (1,), 1e-5),
        "two axes": (normal(2, 3, 4), normal(3, 4), None, (1, 2), 1e-3),
        "bare": (normal(2, 3, 9), None, None, (2,), 1e-5),
        "turned": (normal(4, 3).T, normal(4), normal(4), (1,), 1e-5),
    },
    loss.residual: {
        "rows": (normal(5, 4), CLASSES),
        "long rows": (normal(5, 90), CLASSES),
        "turned": (normal(4, 5).T, CLASSES),
    },
    gather.gather_array: {
        "last": (normal(3, 4), numpy.array([[0, 1], [3, 0], [2, 2]]), 1),
        "first": (normal(3, 4), numpy.array([[0, 1], [2, 0]]), 0),
        "fewer rows": (normal(3, 4), numpy.array([[0, 1], [2, 0]]), 1),
        "vector": (normal(6), numpy.array([5, 0, 0]), 0),
        "turned": (TURNED, numpy.array([[0], [3], [1]]), 1),
    },
    linalg.matrix_vector: {"rows": (normal(3, 4), normal(4)), "turned": (TURNED, normal(4))},
    linalg.inner_product: {"few": (normal(4), normal(4)), "none": (normal(0), normal(0))},
    special.erf: EACH,
    special.erfc: EACH,
    gamma.lgamma: {name: EACH[name] for name in ("few", "many", "turned", "a number", "none")},
    choice.gate: {
        "few": (normal(5, 7), normal(5, 7)),
        "many": (normal(60, 50), normal(60, 50)),
        "not numbers": (normal(60, 50), numpy.where(normal(60, 50) > 0, numpy.nan, 0.0)),
        "in another order": (normal(60, 50).T, normal(50, 60)),
    },
    choice.choose: {
        "few": (numpy.array([True, False, True]), normal(3), normal(3)),
        "many": (normal(3000) > 0, normal(3000), normal(3000)),
        "or zero": (normal(70_000) > 0, normal(70_000), 0),
        "or a number": (normal(50, 60) > 0, -3.0, normal(50, 60)),
        "stretched": (normal(50, 60) > 0, normal(60), normal(50, 1)),
        "one number": (normal(50, 60) > 0, numpy.broadcast_to(normal(1), (50, 60)), 0.0),
        "turned": (normal(50, 60).T > 0, normal(60, 50), 0.5),
    },
    **{
        op: {
            f"{name}, {bounds}": (x, *bounds)
            for name, x in {
                "few": normal(3, 4),
                "many": normal(5, 3, 2000),
                "a gap": numpy.where(numpy.arange(7000) == 300, numpy.nan, normal(7000)),
            }.items()
            for bounds in calls
        }
        for op, calls in (
            (choice.relu, [()]),
            (choice.clamp, [(-1, 0.5), (0.25,), (None, 1), (1.0, -1.0), (numpy.nan, 1.0)]),
        )
    },
    activation.leaky: {"few": (normal(3, 4), 0.1), "many": (normal(50, 60), 0.1)},
    masked.fill_mask: {
        "few": (normal(3, 4), normal(3, 4) > 0, 2.5),
        "many": (normal(50, 60), normal(50, 60) > 0, -3.0),
        "rows": (normal(50, 60), normal(60) > 0, 0.0),
    },
    special.erfinv: {
        "few": (numpy.array([-0.9, -0.3, 0.0, 0.5, 0.999]),),
        "edges": (numpy.array([-1.0, 1.0, 1.5]),),
        "many": (numpy.linspace(-0.99, 0.99, 40),),
    },
    gamma.digamma: {
        "few": (numpy.array([-1.3, -0.6, 0.25, 1.5, 30.0]),),
        "poles": (numpy.array([-2.0, 0.0, 3.0]),),
        "many": (numpy.linspace(0.1, 9, 40),),
        "pieces": (numpy.linspace(0.1, 9, 9000).reshape(90, 100),),
    },
    gamma.derivative_of_digamma: {
        "first": (numpy.array([-1.3, -0.6, 0.25, 1.5, 30.0]), 1),
        "poles": (numpy.array([-2.0, 0.0, 3.0]), 1),
        "second": (numpy.array([0.25, 1.5, 30.0]), 2),
        "many": (numpy.linspace(0.1, 9, 40), 1),
    },
    elementwise.sign: EACH,
    exponential.sigmoid: EACH,
    exponential.rsqrt: {"few": (numpy.abs(normal(3, 4)),), "a number": (numpy.array(2.0),)},
    shape.broadcast_array: {
        "a number": (normal(1)[0:1].reshape(()), (2, 3)),
        "a row": (normal(1, 3), (2, 3)),
        "more dims": (normal(3, 1), (2, 3, 4)),
        "as it is": (normal(2, 3), (2, 3)),
        "in another order": (TURNED.reshape(3, 1, 4), (3, 2, 4)),
        "nothing": (normal(1).reshape(()), (0, 3)),
    },
    extreme.largest_of_all: {"few": (normal(3, 4),), "a gap": (WITH_NAN,), "turned": (TURNED,)},
    extreme.smallest_of_all: {"few": (normal(3, 4),), "a gap": (WITH_NAN,), "turned": (TURNED,)},
} | {op: TRIANGLES for op in (triangle.lower, triangle.upper)}
TABLE |= {op: REDUCED for op in (reduce.all, reduce.any, extreme.argmax, extreme.argmin)}
TABLE |= {
    op: {name: (*call, None) for name, call in REDUCED.items()}
    for op in (reduce.sum, reduce.mean, reduce.prod)
}
TABLE |= {
    op: {name: (x, dim, 1, keepdim) for name, (x, dim, keepdim) in REDUCED.items()}
    for op in (spread.variance, spread.deviation)
}
TABLE |= {
    op: {name: call for name, call in REDUCED.items() if call[1] is not None}
    for op in (extreme.amax, extreme.amin, extreme.largest_along, extreme.smallest_along)
}
