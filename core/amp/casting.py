"""autocast: a region in which products run in half precision, and losses in float32."""

from __future__ import annotations

import functools
import threading
import warnings
from collections.abc import Callable
from typing import Any

from core.amp.lists import LIKE_FIRST, LOWER, REFUSED, TABLES
from core.autograd.mode import mode
from core.autograd.value import Value
from core.backend import device_of
from core.dtype import bfloat16, dtype, float16, float32, of

DEFAULT = {"cpu": bfloat16, "cuda": float16}
HALVES = (float16, bfloat16)


class Caster:
    """The watcher that casts the arguments of ops on one kind of device."""

    def __init__(self, device_type: str, fast: dtype, cache: dict[Any, Any] | None) -> None:
        self.device_type, self.fast, self.cache = device_type, fast, cache
        self.table = TABLES[device_type]

    def __call__(self, op: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
        return self.adapt(op.name, args)

    def adapt(self, name: str, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The arguments as the function or op called `name` takes them in this region."""
        how = self.table.get(name)
        if how is None:
            return args
        if how is LOWER:
            return tuple(self.cast(x, self.fast) for x in args)
        if how is REFUSED:
            self.refuse(name, args)
            return args
        if how is LIKE_FIRST:
            first = args[0]
            if not isinstance(first, Value) or of(first.array.dtype) not in HALVES:
                return args
            return tuple(self.cast(x, of(first.array.dtype)) for x in args)
        return tuple(self.cast(x, float32) for x in args)

    def refuse(self, name: str, args: tuple[Any, ...]) -> None:
        """Raise RuntimeError where an argument is a tensor on this device."""
        if any(isinstance(x, Value) and self.here(x) for x in args):
            raise RuntimeError(
                f"{name} is unsafe to autocast: its logarithms need more than half precision."
                " Leave out the sigmoid before it and use binary_cross_entropy_with_logits or"
                " BCEWithLogitsLoss, which are safe, or call it under"
                f" autocast('{self.device_type}', enabled=False)."
            )

    def here(self, x: Value) -> bool:
        """Whether a tensor is on this kind of device."""
        return device_of(x.array).type == self.device_type

    def cast(self, x: Any, to: dtype) -> Any:
        """`x` as `to`, where it is a tensor of other floats, on this device, and no float64."""
        if not isinstance(x, Value):
            return x
        have = of(x.array.dtype)
        if have is to or have not in (float32, *HALVES):
            return x
        if not self.here(x):
            return x
        leaf = x.needs_grad and x.node is None and x.base is None and have is float32
        if self.cache is None or not leaf or not mode.recording:
            return x.to(to)  # type: ignore[attr-defined]
        return self._cached(x, to)

    def _cached(self, x: Any, to: dtype) -> Any:
        """A parameter is cast once, however often it is used, until somebody writes to it."""
        assert self.cache is not None
        written = x.version[0] if x.version is not None else 0
        found = self.cache.get((id(x), to))
        if found is not None and found[1] is x.array and found[2] == written:
            return found[0]
        out = x.to(to)
        self.cache[id(x), to] = (out, x.array, written, x)  # x is kept, so its id stays its own
        return out


class _Thread(threading.local):
    """The casts kept by this thread's regions; those of the outermost one end with it."""

    def __init__(self) -> None:
        self.cache: dict[Any, Any] = {}
        self.depth = 0
        self.dtypes = dict(DEFAULT)
        self.cache_enabled = True


_thread = _Thread()


class autocast:  # noqa: N801 - PyTorch's name
    """A context, or decorator, in which ops on `device_type` choose their precision themselves.

    Raises: ValueError, RuntimeError for a device that there is not.
    Example:
        >>> import core
        >>> with core.autocast("cpu"):
        ...     (core.ones(2, 2) @ core.ones(2, 2)).dtype
        core.bfloat16
    """

    def __init__(
        self,
        device_type: str,
        dtype: Any = None,
        enabled: bool = True,
        cache_enabled: bool | None = None,
    ) -> None:
        _check_device(device_type)
        self.device = device_type
        self.fast_dtype = _thread.dtypes[device_type] if dtype is None else dtype
        self.cache_enabled = _thread.cache_enabled if cache_enabled is None else cache_enabled
        if enabled and self.fast_dtype not in HALVES:
            warnings.warn(
                f"In {device_type.upper()} autocast, but the target dtype is not supported."
                " Disabling autocast. Supported dtypes are core.bfloat16, core.float16.",
                stacklevel=2,
            )
            enabled = False
        self.enabled = enabled
        self._before: list[Any] = []

    def __enter__(self) -> Any:
        self._before.append(mode.watchers)
        others = tuple(w for w in mode.watchers if not _casts(w, self.device))
        cache = _thread.cache if self.cache_enabled else None
        mine = (Caster(self.device, self.fast_dtype, cache),) if self.enabled else ()
        _thread.depth += 1
        mode.watch((*others, *mine))
        return self

    def __exit__(self, *_: Any) -> None:
        mode.watch(self._before.pop())
        _thread.depth -= 1
        if not _thread.depth:
            clear_autocast_cache()

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with autocast(self.device, self.fast_dtype, self.enabled, self.cache_enabled):
                return function(*args, **kwargs)

        return wrapped


def _check_device(device_type: Any) -> None:
    if not isinstance(device_type, str):
        raise ValueError(f"Expected `device_type` of type `str`, got: `{type(device_type)}`")
    if device_type not in TABLES:
        raise RuntimeError(
            f"User specified an unsupported autocast device_type '{device_type}': there are"
            f" {', '.join(TABLES)}"
        )


def _casts(watcher: Any, device_type: str) -> bool:
    return type(watcher) is Caster and watcher.device_type == device_type


def is_autocast_available(device_type: str) -> bool:
    """Whether `autocast(device_type)` can be entered."""
    return device_type in TABLES


def is_autocast_enabled(device_type: str = "cuda") -> bool:
    """Whether ops on `device_type` choose their precision here."""
    return any(_casts(watcher, device_type) for watcher in mode.watchers)


def get_autocast_dtype(device_type: str) -> dtype:
    """The lower precision of the region here, or of regions that name none."""
    inner = [w.fast for w in mode.watchers if _casts(w, device_type)]
    return inner[-1] if inner else _thread.dtypes[device_type]


def set_autocast_dtype(device_type: str, dtype: dtype) -> None:
    """Nothing; regions of this thread that name no dtype use this one."""
    _check_device(device_type)
    _thread.dtypes[device_type] = dtype


def is_autocast_cache_enabled() -> bool:
    """Whether regions that do not say so keep the casts of parameters."""
    return _thread.cache_enabled


def set_autocast_cache_enabled(enabled: bool) -> None:
    """Nothing; regions that do not say so keep, or do not keep, the casts of parameters."""
    _thread.cache_enabled = enabled


def clear_autocast_cache() -> None:
    """Nothing; parameters will be cast anew."""
    _thread.cache.clear()


# ---- functions with gradients of their own ----


def custom_fwd(
    fwd: Callable[..., Any] | None = None, *, device_type: str, cast_inputs: Any = None
) -> Any:
    """`forward` of an autograd Function that runs as its caller's autocast says.

    With `cast_inputs`, floating tensors are cast to it inside a region, which then ends there.
    """
    if fwd is None:
        return functools.partial(custom_fwd, device_type=device_type, cast_inputs=cast_inputs)
    _check_device(device_type)

    @functools.wraps(fwd)
    def decorated(ctx: Any, *args: Any, **kwargs: Any) -> Any:
        on = is_autocast_enabled(device_type)
        ctx.autocast_dtype = get_autocast_dtype(device_type)
        ctx.forward_used_autocast = on and cast_inputs is None
        if not on or cast_inputs is None:
            return fwd(ctx, *args, **kwargs)
        caster = Caster(device_type, cast_inputs, None)
        args = tuple(caster.cast(x, cast_inputs) for x in args)
        kwargs = {name: caster.cast(x, cast_inputs) for name, x in kwargs.items()}
        with autocast(device_type, enabled=False):
            return fwd(ctx, *args, **kwargs)

    return decorated


def custom_bwd(bwd: Callable[..., Any] | None = None, *, device_type: str) -> Any:
    """`backward` of an autograd Function that runs as its forward's autocast said."""
    if bwd is None:
        return functools.partial(custom_bwd, device_type=device_type)
    _check_device(device_type)

    @functools.wraps(bwd)
    def decorated(ctx: Any, *args: Any, **kwargs: Any) -> Any:
        with autocast(device_type, ctx.autocast_dtype, ctx.forward_used_autocast):
            return bwd(ctx, *args, **kwargs)

    return decorated
