"""Anomaly mode: where in the forward an op was called whose gradient fails, or is NaN."""

from __future__ import annotations

import traceback
import warnings
from typing import Any

from core.autograd.mode import mode
from core.autograd.place import where_it_lies
from core.autograd.product import products
from core.autograd.value import Node, Value, extra_of
from core.backend import xp


class _Tracer:
    """A watcher that notes at each recorded op where it was called."""

    def __init__(self, check_nan: bool) -> None:
        self.check_nan = check_nan

    def __call__(self, op: Any, args: Any) -> Any:
        return args

    def after(self, op: Any, result: Any) -> None:
        """Note the place on the node that the op made."""
        outs = result if isinstance(result, tuple) else (result,)
        for out in outs:
            if isinstance(out, Value) and out.node is not None:
                node = out.node if out.node.plan.op is not None else out.node.edges[0]
                trace(node)


def trace(node: Node) -> None:
    """Keep on a node the stack that made it."""
    extra_of(node).trace = "".join(traceback.format_list(_outside(traceback.extract_stack())))


def _outside(stack: Any) -> Any:
    """The frames of the caller: none of the engine's."""
    own = __file__.rpartition("anomaly")[0]
    return [frame for frame in stack if not frame.filename.startswith(own)]


def tracer() -> Any:
    """The tracer of this thread's anomaly mode; None outside of it."""
    return next((w for w in mode.watchers if type(w) is _Tracer), None)


def is_anomaly_enabled() -> bool:
    """Whether anomaly mode is on."""
    return tracer() is not None


def is_anomaly_check_nan_enabled() -> bool:
    """Whether anomaly mode looks for NaN."""
    found = tracer()
    return found is not None and found.check_nan


class set_detect_anomaly:  # noqa: N801 - PyTorch's name
    """Anomaly mode switched on or off: at once as a function, for a block as a context."""

    def __init__(self, mode: bool, check_nan: bool = True) -> None:
        self.before = tracer()
        _switch(_Tracer(check_nan) if mode else None)

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: Any) -> None:
        _switch(self.before)


class detect_anomaly(set_detect_anomaly):  # noqa: N801 - PyTorch's name
    """A context in which backward names the forward line whose gradient fails or is NaN."""

    def __init__(self, check_nan: bool = True) -> None:
        warnings.warn(
            "Anomaly Detection has been enabled. This mode will increase the runtime and should"
            " only be enabled for debugging.",
            stacklevel=2,
        )
        self.check_nan = check_nan

    def __enter__(self) -> None:
        super().__init__(True, self.check_nan)


def _switch(new: Any) -> None:
    rest = tuple(w for w in mode.watchers if type(w) is not _Tracer)
    mode.watch(rest if new is None else (*rest, new))


def checked(node: Node, g: Any, create_graph: bool, steps: Any = None) -> list[Any]:
    """The node's products, with its forward's place told where they fail or hold NaN.

    Raises: what the rule raised; RuntimeError for NaN.
    """
    try:
        parts = products(node, g, create_graph, steps)
        if is_anomaly_check_nan_enabled():
            _refuse_nan(node, parts)
    except Exception:
        _tell(node)
        raise
    return parts


def _refuse_nan(node: Node, parts: list[Any]) -> None:
    for i, part in enumerate(parts):
        array = part.array if isinstance(part, Value) else part
        if array is not None and _has_nan(array):
            raise RuntimeError(f"Function '{node.name()}' returned nan values in its {i}th output.")


@where_it_lies
def _has_nan(array: Any) -> bool:
    return bool(xp(array).isnan(array).any())


def _tell(node: Node) -> None:
    known = node.extra is not None and node.extra.trace
    where = (
        f"Traceback of forward call that caused the error:\n{node.extra.trace}"
        if known
        else "No forward pass information available. Enable detect anomaly during forward pass for"
        " more information."
    )
    warnings.warn(f"Error detected in {node.name()}. {where}", stacklevel=2)
