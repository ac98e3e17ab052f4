"""PowerSGD: gradients travel as products of two thin matrices."""

from __future__ import annotations

from typing import Any

from core.autograd.value import wrap
from core.backend import device_of, on, xp
from core.ops.promotion import accumulates_in
from core.random import Key, normal
from ddp.hooks import Contents, ErrorFeedback, GradBucket, Then, averaged, group_of


class PowerSGDState(ErrorFeedback):
    """How `powerSGD_hook` compresses, and what it carries from step to step.

    The first `start_powerSGD_iter` steps are plain averages. A gradient is compressed where that
    makes it `min_compression_rate` times smaller. `orthogonalization_epsilon` is accepted and not
    needed.
    Source: Vogels et al. (2019).
    """

    def __init__(
        self,
        process_group: Any = None,
        matrix_approximation_rank: int = 1,
        start_powerSGD_iter: int = 1000,
        min_compression_rate: float = 2,
        use_error_feedback: bool = True,
        warm_start: bool = True,
        orthogonalization_epsilon: float = 0,
        random_seed: int = 0,
    ) -> None:
        super().__init__(process_group, use_error_feedback)
        self.rank = matrix_approximation_rank
        self.first_step = start_powerSGD_iter
        self.min_rate = min_compression_rate
        self.warm_start = warm_start
        self.seed = random_seed
        self.steps: dict[int, int] = {}
        self.qs: dict[int, list[Any]] = {}

    def state_dict(self) -> dict[str, Any]:
        """What this rank has left out so far, the factors of the last step, and its number."""
        factors = {i: [wrap(q.copy()) for q in qs] for i, qs in self.qs.items()}
        return {**super().state_dict(), "factors": factors, "steps": dict(self.steps)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave on this rank, with the same model and buckets."""
        super().load_state_dict(state)
        self.qs = {int(i): [q.array.copy() for q in qs] for i, qs in state["factors"].items()}
        self.steps = {int(i): step for i, step in state["steps"].items()}

    def regroup(self, old: Contents, new: Contents) -> None:
        """Follow parameters that have come into other buckets, with new factors."""
        super().regroup(old, new)
        self.qs = {}
        self.steps = dict.fromkeys(range(len(new)), max(self.steps.values(), default=0))

    def thin(self, shape: tuple[int, ...]) -> int:
        """The rank with which a gradient of this shape is sent; 0 where it travels as it is."""
        if len(shape) < 2:
            return 0
        n, m = shape[0], _columns(shape)
        rank = min(n, m, self.rank)
        return rank if (n + m) * rank * self.min_rate < n * m else 0

    def first_q(
        self, bucket: GradBucket, step: int, number: int, m: int, rank: int, like: Any
    ) -> Any:
        """Random columns to begin with, the same on all ranks."""
        key = Key(self.seed, bucket.index() * 2**32 + number, step)
        with on(device_of(like)):
            return normal(key, (m, rank), "float64", xp=xp(like)).astype(like.dtype)


def powerSGD_hook(state: PowerSGDState, bucket: GradBucket) -> Any:  # noqa: N802 - PyTorch's name
    """The average of low-rank approximations of the gradients; what they lack is sent later."""
    group, index = group_of(state), bucket.index()
    step = state.steps.get(index, 0)
    state.steps[index] = step + 1
    if step < state.first_step:
        array = bucket.buffer().array
        return Then(averaged(array, group), lambda: array)
    wanted = state.corrected(bucket)
    return _Round(state, bucket, wanted, step).started(group)


class _Round:
    """One bucket of one step."""

    def __init__(self, state: PowerSGDState, bucket: GradBucket, wanted: Any, step: int) -> None:
        self.state, self.bucket, self.wanted = state, bucket, wanted
        self.plain: list[tuple[int, int]] = []
        self.thin: list[tuple[int, Any, int]] = []
        start = 0
        for p in bucket.parameters():
            shape = tuple(p.array.shape)
            size, rank = p.array.size, state.thin(shape)
            if rank:
                matrix = wanted[start : start + size].reshape(shape[0], _columns(shape))
                self.thin.append((start, matrix, rank))
            else:
                self.plain.append((start, start + size))
            start += size
        self.qs = state.qs.get(bucket.index()) if state.warm_start else None
        if self.qs is None:
            self.qs = [
                state.first_q(bucket, step, i, matrix.shape[1], rank, wanted)
                for i, (_, matrix, rank) in enumerate(self.thin)
            ]
        for q in self.qs:
            orthonormalise(q)

    def started(self, group: Any) -> Then:
        lib = xp(self.wanted)
        assert self.qs is not None
        self.ps = [lib.matmul(matrix, q) for (_, matrix, _), q in zip(self.thin, self.qs)]
        rest = [self.wanted[a:b] for a, b in self.plain]
        # One message for what travels as it is and the first factors.
        self.message = lib.concatenate([*rest, *(p.reshape(-1) for p in self.ps)])
        return Then(averaged(self.message, group), lambda: self._finish(group))

    def _finish(self, group: Any) -> Any:
        lib, out = xp(self.wanted), self.wanted.copy()
        start = sum(b - a for a, b in self.plain)
        self._store_plain(out)
        for i, p in enumerate(self.ps):
            self.ps[i] = self.message[start : start + p.size].reshape(p.shape)
            start += p.size
            orthonormalise(self.ps[i])
        qs = [lib.matmul(matrix.T, p) for (_, matrix, _), p in zip(self.thin, self.ps)]
        if qs:
            second = lib.concatenate([q.reshape(-1) for q in qs])
            work = averaged(second, group)
            if work is not None:
                work.wait()
            start = 0
            for i, q in enumerate(qs):
                qs[i] = second[start : start + q.size].reshape(q.shape)
                start += q.size
        for (at, matrix, _), p, q in zip(self.thin, self.ps, qs, strict=True):
            out[at : at + matrix.size] = lib.matmul(p, q.T).reshape(-1)
        sent = out.copy()
        for a, b in self.plain:
            sent[a:b] = self.wanted[a:b]
        self.state.note(self.bucket, self.wanted, sent)
        self.state.qs[self.bucket.index()] = [q.copy() for q in qs]
        return out

    def _store_plain(self, out: Any) -> None:
        start = 0
        for a, b in self.plain:
            out[a:b] = self.message[start : start + b - a]
            start += b - a


def orthonormalise(matrix: Any) -> None:
    """Make the columns of `matrix` orthonormal, spanning at least what they spanned.

    By Householder's reflections: columns that depend on others become new directions, where Gram
    and Schmidt's way would blow up their rounding errors.
    """
    matrix[...] = xp(matrix).linalg.qr(matrix.astype(accumulates_in(matrix.dtype)))[0]


def _columns(shape: tuple[int, ...]) -> int:
    count = 1
    for n in shape[1:]:
        count *= n
    return count
