"""PyTorch's table of communication hooks, by which programs choose one."""

from __future__ import annotations

import enum
from typing import Any

from ddp.hooks import (
    Hook,
    allreduce_hook,
    bf16_compress_hook,
    fp16_compress_hook,
    noop_hook,
)
from ddp.powersgd import PowerSGDState, powerSGD_hook


class Registration:
    """What registers `hook` with a model; with `rank`, for a PowerSGD of that rank."""

    def __init__(self, hook: Hook, rank: int = 0) -> None:
        self.hook, self.rank = hook, rank

    def __call__(self, model: Any, state: Any = None) -> None:
        """Nothing; `model` reduces by the hook, in the group `state` if it is one."""
        if self.rank:
            state = PowerSGDState(state, self.rank)
        model.register_comm_hook(state, self.hook)


class DDPCommHookType(enum.Enum):
    """The hooks by name; the value of each registers it: `value(model=model, state=group)`."""

    ALLREDUCE = Registration(allreduce_hook)
    FP16_COMPRESS = Registration(fp16_compress_hook)
    BF16_COMPRESS = Registration(bf16_compress_hook)
    POWER_SGD = Registration(powerSGD_hook, 1)
    POWER_SGD_RANK2 = Registration(powerSGD_hook, 2)
    NOOP = Registration(noop_hook)


def register_ddp_comm_hook(comm_hook_type: DDPCommHookType, model: Any, state: Any = None) -> None:
    """Let `model` reduce by a hook of the table, in the group `state`, else the default one."""
    comm_hook_type.value(model=model, state=state)
