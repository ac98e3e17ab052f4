"""What ranks decide together, and what only one of them does."""

from __future__ import annotations

import builtins
import functools
import math
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from ddp.current_group import current_group, served
from ddp.group import Timeout
from ddp.lifecycle import default_group, member_of
from launch.world import claimed

F = TypeVar("F", bound=Callable[..., Any])
_FOREVER = float("inf")


def _rank() -> int:
    """The rank in the default group; before there is one, what the launcher says."""
    here = served() or current_group()
    if here is not None:
        return here.rank
    return int(os.environ.get("RANK", claimed(os.environ).rank))


@contextmanager
def main_process_first(group: Any = None, local: bool = False) -> Iterator[None]:
    """A context that rank 0 enters first, and the others when it has left it: downloads, caches.

    With `local` the first of each node goes first. Waiting has no deadline while that rank lives;
    no collective of the group may be called inside.
    """
    group = default_group(group)
    first = (group.local_rank if local else group.rank) == 0
    if not first:
        group.barrier(timeout=_FOREVER, label="main_process_first")
    yield
    if first:
        group.barrier(timeout=_FOREVER, label="main_process_first")


def rank_zero_only(function: F) -> F:
    """The function that runs on rank 0 only and gives None elsewhere."""

    @functools.wraps(function)
    def on_rank_zero(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs) if _rank() == 0 else None

    return on_rank_zero  # type: ignore[return-value]


def print(*values: Any, **options: Any) -> None:
    """Nothing; rank 0 prints, as the builtin does."""
    if _rank() == 0:
        builtins.print(*values, **options)


def agree(flag: Any, on: str = "any", group: Any = None) -> bool:
    """Whether any rank (or, with on="all", every rank) has a true flag: one answer on all ranks.

    Example:
        >>> from ddp.lifecycle import get_rank
        >>> from ddp.simulate import simulate
        >>> simulate(lambda: agree(get_rank() == 1), size=2)
        [True, True]
    """
    if on not in ("any", "all"):
        raise ValueError(f"agree expected on='any' or on='all', got {on!r}")
    group = default_group(group)
    flags = [False] * group.size
    group.all_gather_object(flags, bool(flag))
    return any(flags) if on == "any" else all(flags)


def mean_metrics(
    values: Mapping[str, Any], weight: float = 1, group: Any = None
) -> dict[str, float]:
    """The weighted mean over ranks of each metric that any rank has, sorted by name.

    A value is a number or a pair (sum, count), which is exact for whole numbers on any number of
    ranks; a number x counts as (x * weight, weight). A name without any count gives nan.
    """
    group = default_group(group)
    gathered: list[dict[str, tuple[Any, Any]]] = [{}] * group.size
    pairs = {name: _pair(value, weight) for name, value in values.items()}
    group.all_gather_object(gathered, pairs)
    names = sorted({name for pairs in gathered for name in pairs})
    means: dict[str, float] = {}
    for name in names:
        entries = [pairs[name] for pairs in gathered if name in pairs]
        # fsum rounds once, whatever the order and the grouping of the ranks.
        total, count = (math.fsum(column) for column in zip(*entries))
        means[name] = total / count if count else math.nan
    return means


def _pair(value: Any, weight: float) -> tuple[float, float]:
    if isinstance(value, tuple):
        return float(value[0]), float(value[1])
    return float(value) * weight, float(weight)


def monitored_barrier(
    group: Any = None, timeout: Timeout = None, wait_all_ranks: bool = False
) -> None:
    """Nothing, once every rank of the group has come here.

    Raises: CollectiveTimeoutError that says which ranks did not come, and where they are; all of
        them, `wait_all_ranks` or not.
    """
    if (pg := member_of(group)) is not None:
        pg.barrier(timeout=timeout)
