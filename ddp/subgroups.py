"""Groups of equally many ranks, or of listed ones, made in one call by all ranks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ddp.group import Timeout
from ddp.lifecycle import default_group, get_process_group_ranks, get_rank, new_group


def new_subgroups(
    group_size: int | None = None,
    group: Any = None,
    timeout: Timeout = None,
    backend: str | None = None,
    pg_options: Any = None,
    group_desc: str | None = None,
) -> tuple[Any, list[Any]]:
    """The group of this rank and its neighbours, and the list of all such groups of `group_size`.

    That is by default the number of ranks on a node. Called by all ranks of the default group.
    Raises: ValueError unless it divides the number of ranks.
    Example:
        >>> from ddp.simulate import simulate
        >>> simulate(lambda: get_process_group_ranks(new_subgroups(2)[0]), size=4)
        [[0, 1], [0, 1], [2, 3], [2, 3]]
    """
    ranks = get_process_group_ranks(group)
    size = default_group(group).local_size if group_size is None else group_size
    if size < 1 or len(ranks) % size:
        raise ValueError(
            f"rank {get_rank()}: new_subgroups expected a group_size that divides {len(ranks)}"
            f" ranks, got {size}"
        )
    parts = [ranks[start : start + size] for start in range(0, len(ranks), size)]
    return new_subgroups_by_enumeration(parts, timeout, backend, pg_options, group_desc)


def new_subgroups_by_enumeration(
    ranks_per_subgroup_list: Sequence[Sequence[int]],
    timeout: Timeout = None,
    backend: str | None = None,
    pg_options: Any = None,
    group_desc: str | None = None,
) -> tuple[Any, list[Any]]:
    """The one of these groups that this rank is in, None if it is in none, and the list of all.

    Called by all ranks of the default group.
    Raises: ValueError for no groups, and for a rank in two of them.
    """
    if not ranks_per_subgroup_list:
        raise ValueError(f"rank {get_rank()}: expected lists of ranks, got none")
    listed = [rank for ranks in ranks_per_subgroup_list for rank in ranks]
    if twice := [rank for i, rank in enumerate(listed) if rank in listed[:i]]:
        raise ValueError(f"rank {get_rank()}: rank {twice[0]} is in two subgroups")
    groups = [
        new_group(ranks, timeout, backend, pg_options, group_desc=group_desc)
        for ranks in ranks_per_subgroup_list
    ]
    mine = [group for group in groups if get_rank(group) >= 0]
    return (mine[0] if mine else None), groups
