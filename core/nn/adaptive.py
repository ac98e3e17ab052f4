"""A softmax over many classes that computes the rare ones only where they are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import core.nn.functional as F
from core.backend import to_host
from core.nn.container import Sequential
from core.nn.containers import ModuleList
from core.nn.linear import Linear
from core.nn.module import Module
from core.ops.choice import where
from core.ops.gather import gather, index_select
from core.ops.join import cat
from core.ops.scatter import index_copy


class ASMoutput(NamedTuple):
    """The log-probability of each target, and the mean of their negatives."""

    output: Any
    loss: Any


class AdaptiveLogSoftmaxWithLoss(Module):
    """Log-softmax over classes sorted by how often they come, in clusters between the cutoffs.

    Shape: (N, in_features), (N,) -> output (N,), loss ().
    Source: Grave, Joulin, Cisse, Grangier & Jegou (2017).
    Raises: ValueError for cutoffs that do not rise between 1 and n_classes - 1.
    """

    def __init__(
        self,
        in_features: int,
        n_classes: int,
        cutoffs: Sequence[int],
        div_value: float = 4.0,
        head_bias: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        cutoffs = list(cutoffs)
        _check(cutoffs, n_classes)
        self.in_features = in_features
        self.n_classes = n_classes
        self.cutoffs = [*cutoffs, n_classes]
        self.div_value = div_value
        self.head_bias = head_bias
        self.shortlist_size = self.cutoffs[0]
        self.n_clusters = len(cutoffs)
        self.head_size = self.shortlist_size + self.n_clusters
        like: dict[str, Any] = {"device": device, "dtype": dtype}
        self.head = Linear(in_features, self.head_size, bias=head_bias, **like)
        self.tail = ModuleList()
        for i, (start, end) in enumerate(pairwise(self.cutoffs), 1):
            width = int(in_features // div_value**i)
            self.tail.append(
                Sequential(
                    Linear(in_features, width, bias=False, **like),
                    Linear(width, end - start, bias=False, **like),
                )
            )

    def reset_parameters(self) -> None:
        """Draw new weights."""
        for layer in (self.head, *(layer for pair in self.tail for layer in pair)):
            layer.reset_parameters()

    def forward(self, input: Any, target: Any) -> ASMoutput:
        """The log-probabilities of the targets, and the loss."""
        _check_pair(input, target)
        batched = len(target.shape) == 1
        x, target = (input, target) if batched else (input.unsqueeze(0), target.unsqueeze(0))
        given = to_host(target.array)
        if given.size and not 0 <= given.min() <= given.max() < self.n_classes:
            raise RuntimeError(
                f"Target values should be in [0, {self.n_classes - 1}], but values in range"
                f" [{given.min()}, {given.max()}] were found."
            )
        out, place = x.new_zeros(target.shape[0]), target
        for i, (start, end) in enumerate(pairwise(self.cutoffs)):
            inside = (target >= start) & (target < end)
            rows = inside.nonzero().squeeze(1)
            if not rows.shape[0]:
                continue
            logs = F.log_softmax(self.tail[i](index_select(x, 0, rows)), dim=1)
            local = index_select(target, 0, rows) - start
            out = index_copy(out, 0, rows, gather(logs, 1, local.unsqueeze(1)).squeeze(1))
            place = where(inside, self.shortlist_size + i, place)
        head = F.log_softmax(self.head(x), dim=1)
        out = out + gather(head, 1, place.unsqueeze(1)).squeeze(1)
        loss = (-out).mean()
        return ASMoutput(out if batched else out.squeeze(0), loss)

    def log_prob(self, input: Any) -> Any:
        """The log-probabilities of all classes.

        Shape: (N, in_features) -> (N, n_classes).
        """
        head = F.log_softmax(self.head(input), dim=1)
        short = self.shortlist_size
        clusters = [
            F.log_softmax(tail(input), dim=1) + head[:, short + i : short + i + 1]
            for i, tail in enumerate(self.tail)
        ]
        return cat([head[:, :short], *clusters], 1)

    def predict(self, input: Any) -> Any:
        """The class of the highest probability; clusters count where they lead the head.

        Shape: (N, in_features) -> (N,).
        """
        best = self.head(input).argmax(1)
        rows = (best >= self.shortlist_size).nonzero().squeeze(1)
        if not rows.shape[0]:
            return best
        inner = self.log_prob(index_select(input, 0, rows)).argmax(1)
        return index_copy(best, 0, rows, inner)


def _check(cutoffs: list[int], n_classes: int) -> None:
    if not cutoffs:
        raise ValueError("cutoffs should be a sequence of length larger than 0")
    rises = all(a < b for a, b in pairwise(cutoffs))
    whole = all(int(c) == c for c in cutoffs)
    if not (rises and whole and cutoffs[0] > 0 and cutoffs[-1] < n_classes):
        raise ValueError(
            "cutoffs should be a sequence of unique, positive integers sorted in an increasing"
            " order, where each value is between 1 and n_classes-1"
        )


def _check_pair(input: Any, target: Any) -> None:
    dims = len(target.shape)
    if dims > 1:
        raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
    if dims and input.shape[0] != target.shape[0]:
        raise RuntimeError("Input and target should have the same size in the batch dimension.")
    if len(input.shape) != dims + 1:
        raise RuntimeError(
            f"{dims}D target tensor expects {dims + 1}D input tensors, but found inputs with size"
            f" {input.shape}"
        )
