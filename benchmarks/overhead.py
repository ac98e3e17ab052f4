"""Microseconds per small op, forward and forward + backward, beside PyTorch when it is installed.

python benchmarks/overhead.py [--repeat 20] [--wide] [--only WORD] [--json FILE]

Every op works on 10 float32 numbers (matrices are 4 x 4), so the time is overhead, not arithmetic.
Ours and PyTorch's are timed in turn, round after round in one process on one thread; a figure is
the least of all rounds, the ratio the median over rounds of ours divided by theirs. The first
table chains each op ten times; with --wide, a second one takes many more ops, ten times beside
each other.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy

import core

CALLS = 50
LENGTH = 10  # ops in one chain, or beside each other
Step = Callable[[Any], Any]


class Row(NamedTuple):
    """One op: a tensor, and what is done to it; without `both`, it has no backward."""

    name: str
    leaf: Any
    step: Step
    both: bool = True
    chained: bool = False


def chains(lib: Any, vector: Callable[..., Any]) -> list[Row]:
    """The ops that are applied to their own results."""
    w, y = vector(10).requires_grad_(), vector(10)
    m, k = vector(4, 4).requires_grad_(), vector(4, 4)
    steps: dict[str, tuple[Any, Step]] = {
        "x + y": (w, lambda v: v + y),
        "x * y": (w, lambda v: v * y),
        "x * 2.0": (w, lambda v: v * 2.0),
        "x - y": (w, lambda v: v - y),
        "x / y": (w, lambda v: v / y),
        "x + x": (w, lambda v: v + v),
        "tanh": (w, lambda v: v.tanh()),
        "exp(-x)": (w, lambda v: (-v).exp()),
        "relu": (w, lambda v: v.relu()),
        "m @ k": (m, lambda v: v @ k),
        "m.t()": (m, lambda v: v.t()),
        "reshape": (m, lambda v: v.reshape(2, 8).reshape(4, 4)),
        "m[0:4]": (m, lambda v: v[0:4]),
    }
    rows = [Row(name, *step, chained=True) for name, step in steps.items()]
    return [*rows, Row("sum", w, lambda v: v.sum())]


def pointwise(lib: Any, vector: Callable[..., Any]) -> list[Row]:
    """Ops on each element: of floats, of integers, comparisons, in place."""
    w, y = vector(10).requires_grad_(), vector(10)
    p = vector(10).abs().add(0.1).requires_grad_()
    u = vector(10).clamp(-0.9, 0.9).requires_grad_()
    i, j = lib.arange(1, 11), lib.arange(2, 12)
    b, c, z, one = y > 0, i > 4, vector(10), vector(1)[0]
    named = "sin cos abs neg square sigmoid sign erf erfc expm1 atan sinh floor round sgn"
    rows = [Row(name, w, lambda v, name=name: getattr(v, name)()) for name in named.split()]
    rows += [
        Row(name, p, lambda v, name=name: getattr(v, name)())
        for name in "log sqrt rsqrt reciprocal log1p log2 lgamma digamma".split()
    ]
    rows += [
        Row(name, u, lambda v, name=name: getattr(v, name)())
        for name in "asin acos atanh erfinv".split()
    ]
    floats: dict[str, tuple[Any, Step]] = {
        "2.0 - x": (w, lambda v: 2.0 - v),
        "1 / x": (p, lambda v: 1 / v),
        "x ** 2": (w, lambda v: v**2),
        "x ** y": (p, lambda v: v**y),
        "add alpha": (w, lambda v: v.add(y, alpha=2)),
        "x + 0-dim": (w, lambda v: v + one),
        "clamp": (w, lambda v: v.clamp(-1.0, 1.0)),
        "clamp_min": (w, lambda v: v.clamp(min=0.0)),
        "maximum": (w, lambda v: lib.maximum(v, y)),
        "where": (w, lambda v: lib.where(b, v, y)),
        "where 0": (w, lambda v: lib.where(b, v, 0.0)),
        "masked_fill": (w, lambda v: v.masked_fill(b, 0.0)),
        "lerp": (w, lambda v: lib.lerp(v, y, 0.5)),
        "addcmul": (w, lambda v: lib.addcmul(v, y, y)),
        "atan2": (w, lambda v: lib.atan2(v, y)),
        "clone": (w, lambda v: v.clone()),
        "double": (w, lambda v: v.double()),
        "dropout off": (w, lambda v: lib.nn.functional.dropout(v, 0.5, False)),
    }
    rows += [Row(name, *step) for name, step in floats.items()]
    whole: dict[str, tuple[Any, Step]] = {
        "i + j": (i, lambda v: v + j),
        "i + 1": (i, lambda v: v + 1),
        "i * j": (i, lambda v: v * j),
        "i - j": (i, lambda v: v - j),
        "i / j": (i, lambda v: v / j),
        "i // 2": (i, lambda v: v // 2),
        "i % 3": (i, lambda v: v % 3),
        "-i": (i, lambda v: -v),
        "abs i": (i, lambda v: v.abs()),
        "i == j": (i, lambda v: v == j),
        "i == 3": (i, lambda v: v == 3),
        "i < j": (i, lambda v: v < j),
        "x > y": (y, lambda v: v > z),
        "x > 0": (y, lambda v: v > 0),
        "b & c": (b, lambda v: v & c),
        "~b": (b, lambda v: ~v),
        "logical_and": (b, lambda v: lib.logical_and(v, c)),
        "isnan": (y, lambda v: lib.isnan(v)),
        "isfinite": (y, lambda v: lib.isfinite(v)),
        "i.float()": (i, lambda v: v.float()),
        "x.long()": (y, lambda v: v.long()),
        "i & 3": (i, lambda v: v & 3),
        "i * 2.0": (i, lambda v: v * 2.0),
        "b.sum()": (b, lambda v: v.sum()),
        "i.sum()": (i, lambda v: v.sum()),
        "add_": (vector(10), lambda v: v.add_(y)),
        "mul_ 1.0": (vector(10), lambda v: v.mul_(1.0)),
        "zero_": (vector(10), lambda v: v.zero_()),
        "fill_": (vector(10), lambda v: v.fill_(1.0)),
        "copy_": (vector(10), lambda v: v.copy_(y)),
        "x[2:4] = 0": (vector(10), lambda v: v.__setitem__(slice(2, 4), 0)),
        "x[2] = 0": (vector(10), lambda v: v.__setitem__(2, 0)),
        "addcmul_": (vector(10), lambda v: v.addcmul_(y, y, value=0.1)),
        "i += 1": (i.clone(), lambda v: v.add_(1)),
        "clamp_": (vector(10), lambda v: v.clamp_(-1.0, 1.0)),
        "masked_fill_": (vector(10), lambda v: v.masked_fill_(b, 0.0)),
        "detach": (w, lambda v: v.detach()),
        "item": (y[0], lambda v: v.item()),
        "zeros": (None, lambda v: lib.zeros(10)),
        "tensor": (None, lambda v: lib.tensor([1.0, 2.0])),
        "arange": (None, lambda v: lib.arange(10)),
        "zeros_like": (y, lambda v: lib.zeros_like(v)),
        "ones_like": (y, lambda v: lib.ones_like(v)),
        "x.shape": (y, lambda v: v.shape),
        "allclose": (y, lambda v: lib.allclose(v, z)),
        "equal": (y, lambda v: lib.equal(v, z)),
    }
    return rows + [Row(name, *step, both=False) for name, step in whole.items()]


def reductions(lib: Any, vector: Callable[..., Any]) -> list[Row]:
    """Ops of many elements into few, and along a dim."""
    m = vector(4, 4).requires_grad_()
    n, steps = vector(4, 4), lib.arange(4.0)
    found: dict[str, Step] = {
        "sum(1)": lambda v: v.sum(1),
        "sum(-1, keepdim)": lambda v: v.sum(-1, keepdim=True),
        "mean": lambda v: v.mean(),
        "mean(1)": lambda v: v.mean(1),
        "var": lambda v: v.var(),
        "var(1)": lambda v: v.var(1),
        "std": lambda v: v.std(),
        "prod": lambda v: v.prod(),
        "prod(1)": lambda v: v.prod(1),
        "max": lambda v: v.max(),
        "amax(1)": lambda v: v.amax(1),
        "max(1)": lambda v: v.max(1)[0],
        "logsumexp": lambda v: v.logsumexp(1),
        "norm": lambda v: v.norm(),
        "norm(1)": lambda v: v.norm(dim=1),
        "cumsum": lambda v: v.cumsum(0),
        "cumprod": lambda v: v.cumprod(0),
        "sort": lambda v: v.sort(1)[0],
        "topk": lambda v: v.topk(2)[0],
        "median": lambda v: v.median(),
    }
    plain: dict[str, Step] = {
        "argmax": lambda v: v.argmax(),
        "argmax(1)": lambda v: v.argmax(1),
        "argsort": lambda v: v.argsort(1),
        "all": lambda v: v.all(),
        "any(1)": lambda v: v.any(1),
        "count_nonzero": lambda v: lib.count_nonzero(v),
        "unique": lambda v: lib.unique(v),
        "nonzero": lambda v: v.nonzero(),
        "searchsorted": lambda v: lib.searchsorted(steps, v),
    }
    rows = [Row(name, m, step) for name, step in found.items()]
    return rows + [Row(name, n, step, both=False) for name, step in plain.items()]


def arrangement(lib: Any, vector: Callable[..., Any]) -> list[Row]:
    """Ops that take and put elements: views, joins, indices."""
    m, r = vector(4, 4).requires_grad_(), vector(4, 1).requires_grad_()
    n, rows, many = vector(4, 4), lib.arange(3), lib.zeros(4, 4).long()
    mask, o = n > 0, vector(1, 4, 4).requires_grad_()
    found: dict[str, tuple[Any, Step]] = {
        "view": (m, lambda v: v.view(16)),
        "view -1": (m, lambda v: v.view(2, -1)),
        "flatten": (m, lambda v: v.flatten()),
        "transpose": (m, lambda v: v.transpose(0, 1)),
        "m.T": (m, lambda v: v.T),
        "permute": (m, lambda v: v.permute(1, 0)),
        "unsqueeze": (m, lambda v: v.unsqueeze(0)),
        "squeeze": (o, lambda v: v.squeeze(0)),
        "expand": (r, lambda v: v.expand(4, 4)),
        "m[1]": (m, lambda v: v[1]),
        "m[1, 2]": (m, lambda v: v[1, 2]),
        "m[:, 1:3]": (m, lambda v: v[:, 1:3]),
        "m[None]": (m, lambda v: v[None]),
        "m[..., 0]": (m, lambda v: v[..., 0]),
        "narrow": (m, lambda v: v.narrow(0, 1, 2)),
        "select": (m, lambda v: v.select(0, 1)),
        "chunk": (m, lambda v: v.chunk(2)[0]),
        "split": (m, lambda v: v.split(2)[1]),
        "unbind": (m, lambda v: v.unbind()[0]),
        "diagonal": (m, lambda v: v.diagonal()),
        "contiguous": (m, lambda v: v.t().contiguous()),
        "m[rows]": (m, lambda v: v[rows]),
        "m[mask]": (m, lambda v: v[mask]),
        "index_select": (m, lambda v: v.index_select(0, rows)),
        "gather": (m, lambda v: v.gather(1, many)),
        "scatter": (m, lambda v: v.scatter(1, many, 0.0)),
        "scatter_add": (m, lambda v: v.scatter_add(1, many, n)),
        "index_add": (m, lambda v: v.index_add(0, rows, n[:3])),
        "cat": (m, lambda v: lib.cat((v, n))),
        "stack": (m, lambda v: lib.stack((v, n))),
        "flip": (m, lambda v: v.flip(0)),
        "roll": (m, lambda v: v.roll(1, 0)),
        "repeat": (m, lambda v: v.repeat(2, 1)),
        "tril": (m, lambda v: v.tril()),
        "pad": (m, lambda v: lib.nn.functional.pad(v, (1, 1))),
    }
    return [Row(name, *step) for name, step in found.items()]


def networks(lib: Any, vector: Callable[..., Any]) -> list[Row]:
    """Ops of linear algebra and of layers."""
    m, k, x = vector(4, 4).requires_grad_(), vector(4, 4), vector(4)
    t, h = vector(2, 4, 4).requires_grad_(), vector(2, 4, 4)
    f, labels = lib.nn.functional, lib.arange(4)
    found: dict[str, tuple[Any, Step]] = {
        "mm": (m, lambda v: v.mm(k)),
        "matmul 3-dim": (t, lambda v: v @ k),
        "bmm": (t, lambda v: v.bmm(h)),
        "mv": (m, lambda v: v.mv(x)),
        "dot": (vector(4).requires_grad_(), lambda v: v.dot(x)),
        "outer": (vector(4).requires_grad_(), lambda v: lib.outer(v, x)),
        "addmm": (m, lambda v: lib.addmm(x, v, k)),
        "einsum": (m, lambda v: lib.einsum("ij,jk->ik", v, k)),
        "linear": (m, lambda v: f.linear(v, k, x)),
        "embedding": (m, lambda v: f.embedding(labels, v)),
        "softmax": (m, lambda v: v.softmax(-1)),
        "log_softmax": (m, lambda v: v.log_softmax(-1)),
        "layer_norm": (m, lambda v: f.layer_norm(v, (4,), x, x)),
        "cross_entropy": (m, lambda v: f.cross_entropy(v, labels)),
        "nll_loss": (m, lambda v: f.nll_loss(v, labels)),
        "mse_loss": (m, lambda v: f.mse_loss(v, k)),
        "l1_loss": (m, lambda v: f.l1_loss(v, k)),
        "bce_logits": (m, lambda v: f.binary_cross_entropy_with_logits(v, k)),
        "gelu": (m, lambda v: f.gelu(v)),
        "silu": (m, lambda v: f.silu(v)),
        "softplus": (m, lambda v: f.softplus(v)),
        "leaky_relu": (m, lambda v: f.leaky_relu(v)),
        "elu": (m, lambda v: f.elu(v)),
        "dropout": (m, lambda v: f.dropout(v, 0.5, True)),
        "normalize": (m, lambda v: f.normalize(v)),
        "attention": (t, lambda v: f.scaled_dot_product_attention(v, v, v)),
    }
    rows = [Row(name, *step) for name, step in found.items()]
    return [*rows, Row("one_hot", labels, lambda v: f.one_hot(v, 4), both=False)]


def wide(lib: Any, vector: Callable[..., Any]) -> list[Row]:
    """All that is not chained."""
    families = (pointwise, reductions, arrangement, networks)
    return [row for family in families for row in family(lib, vector)]


def timed(run: Callable[[], Any]) -> float:
    """Microseconds of one op, averaged over CALLS."""
    start = time.perf_counter()
    for _ in range(CALLS):
        run()
    return (time.perf_counter() - start) / (CALLS * LENGTH) * 1e6


def forward(lib: Any, row: Row) -> Callable[[], Any]:
    """The op LENGTH times without recording."""
    step, leaf = row.step, row.leaf

    def beside() -> None:
        with lib.no_grad():
            for _ in range(LENGTH):
                step(leaf)

    def chained() -> None:
        v = leaf
        with lib.no_grad():
            for _ in range(LENGTH):
                v = step(v)

    return chained if row.chained else beside


def both(lib: Any, row: Row) -> Callable[[], Any]:
    """The op LENGTH times, recorded, and one backward."""
    step, leaf = row.step, row.leaf
    g = lib.ones_like(step(leaf).detach())
    gs = [g] * LENGTH

    def beside() -> None:
        leaf.grad = None
        lib.autograd.backward([step(leaf) for _ in range(LENGTH)], gs)

    def chained() -> None:
        leaf.grad = None
        v = leaf
        for _ in range(LENGTH):
            v = step(v)
        v.backward(g)

    return chained if row.chained else beside


def tables(make: Callable[..., list[Row]]) -> list[tuple[str, Any, list[Row]]]:
    """The rows of `make` for Unison, and for PyTorch where it is installed, on equal numbers."""
    found = []
    for name, lib in LIBRARIES.items():
        numbers = numpy.random.default_rng(0)

        def vector(*shape: int, lib: Any = lib, numbers: Any = numbers) -> Any:
            return lib.from_numpy(numbers.normal(size=shape).astype("float32"))

        found.append((name, lib, make(lib, vector)))
    return found


def measure(make: Callable[..., list[Row]], repeat: int, only: str) -> list[dict[str, Any]]:
    """One row per op: our microseconds, PyTorch's, and the ratio, forward and with backward."""
    libs = tables(make)
    rows = []
    for n, op in enumerate(libs[0][2]):
        if only not in op.name:
            continue
        for kind, run_of in (("forward", forward), ("both", both))[: 1 + op.both]:
            runs = [(name, run_of(lib, table[n])) for name, lib, table in libs]
            rows.append({"op": op.name, "kind": kind} | compared(runs, repeat))
    return rows


def compared(runs: list[tuple[str, Callable[[], Any]]], repeat: int) -> dict[str, float]:
    """The least time of each, and the median of the ratios of the first to the second."""
    times: dict[str, list[float]] = {name: [] for name, _ in runs}
    for _ in range(repeat + 1):
        for name, run in runs:
            times[name].append(timed(run))
    row = {name: min(t[1:]) for name, t in times.items()}  # the first round warms up
    if len(runs) > 1:
        pairs = list(zip(*times.values(), strict=True))[1:]
        row["ratio"] = statistics.median(a / b for a, b in pairs)
    return row


def show(rows: list[dict[str, Any]]) -> None:
    """Print a table: one line per op, then what its ratios are together."""
    names = list(dict.fromkeys(row["op"] for row in rows))
    found = {(row["op"], row["kind"]): row for row in rows}
    print(f"{'':17s} {'forward':>24s}   {'forward + backward':>24s}")
    print(f"{'us per op':17s}" + 2 * f" {'unison':>8s} {'torch':>8s} {'ratio':>6s}  ")
    for name in names:
        cells = [found.get((name, kind)) for kind in ("forward", "both")]
        print(f"{name:17s}" + "".join(" " * 27 if c is None else cell(c) for c in cells).rstrip())
    for kind in ("forward", "both"):
        ratios = {r["op"]: r["ratio"] for r in rows if r["kind"] == kind and "ratio" in r}
        if ratios:
            above = sorted((r for r in ratios if ratios[r] > 1), key=ratios.__getitem__)
            mean = statistics.geometric_mean(ratios.values())
            print(f"{kind}: geometric mean {mean:.2f} of {len(ratios)}, above 1: {len(above)}")
            print("  " + ", ".join(f"{r} {ratios[r]:.2f}" for r in reversed(above)))


def cell(row: dict[str, Any]) -> str:
    """One kind of one op as the table shows it."""
    torch, ratio = row.get("torch", float("nan")), row.get("ratio", float("nan"))
    return f" {row['unison']:8.2f} {torch:8.2f} {ratio:6.2f}  "


LIBRARIES: dict[str, Any] = {"unison": core}


def with_torch() -> None:
    """Measure PyTorch too, on one thread."""
    try:
        import torch

        torch.set_num_threads(1)
        LIBRARIES["torch"] = torch
    except ImportError:
        print("PyTorch is not installed: our figures only")


def main() -> None:
    """Print the tables; write them as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=20, help="rounds of each measurement")
    parser.add_argument("--wide", action="store_true", help="many more ops")
    parser.add_argument("--only", default="", metavar="WORD", help="ops whose name holds this")
    parser.add_argument("--json", metavar="FILE")
    options = parser.parse_args()
    with_torch()
    rows = measure(chains, options.repeat, options.only)
    if rows:
        show(rows)
    if options.wide:
        more = measure(wide, options.repeat, options.only)
        print()
        show(more)
        rows += more
    if options.json:
        machine = (
            f"{platform.machine()}, Python {platform.python_version()}, NumPy {numpy.__version__}"
        )
        with open(options.json, "w") as file:
            json.dump({"machine": machine, "rows": rows}, file, indent=1)


if __name__ == "__main__":
    main()
