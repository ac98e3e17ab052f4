"""An optimizer's state as PyTorch lays it out: by the parameters' positions, and back."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from core.autograd.value import Value, wrap
from core.backend import device_of, on, to_device, xp
from core.dtype import of


def pack(state: Any, groups: list[dict[str, Any]]) -> dict[str, Any]:
    """`state` keyed by position, and the groups with positions in place of parameters."""
    position: dict[int, int] = {}
    packed: list[dict[str, Any]] = []
    start = 0
    for group in groups:
        for i, p in enumerate(group["params"]):
            position.setdefault(id(p), start + i)
        start += len(group["params"])
        rest = {key: value for key, value in group.items() if key != "params"}
        packed.append(rest | {"params": [position[id(p)] for p in group["params"]]})
    by_position = {
        position[id(key)] if isinstance(key, Value) else key: value for key, value in state.items()
    }
    return {"state": by_position, "param_groups": packed}


def unpack(given: dict[str, Any], groups: list[dict[str, Any]]) -> tuple[Any, list[Any]]:
    """The state and groups that `given` describes, for the parameters of `groups`.

    Raises: ValueError where the sizes of the groups differ.
    """
    saved = [copy.deepcopy(group) for group in given["param_groups"]]
    sizes, new_sizes = ([len(g["params"]) for g in gs] for gs in (groups, saved))
    if len(groups) != len(saved):
        raise ValueError(
            "loaded state dict has a different number of parameter groups: expected"
            f" {len(groups)}, got {len(saved)}"
        )
    if sizes != new_sizes:
        raise ValueError(
            "loaded state dict contains a parameter group that doesn't match the size of"
            f" optimizer's group: expected sizes {sizes}, got {new_sizes}"
        )
    owners: dict[Any, Any] = {}
    for group, new in zip(groups, saved):
        owners.update(zip(new["params"], group["params"]))
        new["params"] = group["params"]
        if "param_names" in group:
            new.setdefault("param_names", group["param_names"])
    state: Any = defaultdict(dict)
    for key, value in given["state"].items():
        p = owners.get(key)
        state[key if p is None else p] = value if p is None else _placed(value, p)
    return state, saved


def _placed(value: Any, p: Any, key: Any = None) -> Any:
    """A copy of `value`, its tensors on the device and of the dtype of `p`; a step keeps both."""
    if isinstance(value, Value):
        if key == "step":
            return wrap(value.array.copy())
        where = device_of(p.array)
        array = to_device(value.array, where)
        dtype = p.array.dtype if of(p.array.dtype).is_floating_point else None
        with on(where):
            return wrap(xp(array).array(array, dtype=dtype, copy=True))
    if isinstance(value, dict):
        return {k: _placed(v, p, k) for k, v in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, (str, bytes)):
        return type(value)(_placed(v, p) for v in value)  # type: ignore[call-arg]
    return value
