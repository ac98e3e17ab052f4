"""Objects as JSON and arrays: dicts, lists, numbers and strings as text, tensors by name.

Nothing here calls what a file names: the kinds of values are those of two tables.
"""

from __future__ import annotations

import base64
import math
from argparse import Namespace
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from pathlib import Path, PosixPath
from types import SimpleNamespace
from typing import Any

import numpy

from core.autograd.value import Value, share
from core.backend import Device, address, device_of, to_host
from core.dtype import BY_NAME, dtype
from core.nn.parameter import Buffer, Parameter
from core.serialization.errors import CheckpointError
from core.tensor import Size, Tensor

PLAIN = (str, bool, int, type(None))


class Packer:
    """Turns an object into JSON values, and gathers its arrays under readable names."""

    def __init__(self) -> None:
        self.arrays: dict[str, numpy.ndarray] = {}
        self.seen: dict[Any, str] = {}

    def pack(self, value: Any, path: tuple[str, ...] = ()) -> Any:
        """What stands in the file for `value`.

        Raises: TypeError for what is neither tensor, number, string nor container.
        """
        kind = type(value)
        if kind in PLAIN:
            return value
        if kind is float:
            return value if math.isfinite(value) else {"float": repr(value)}
        if isinstance(value, Value):
            return self._tensor(value, path)
        write = WRITERS.get(kind)
        if write is not None:
            return write(self, value, path)
        if isinstance(value, numpy.generic):
            return {"scalar": self._name(numpy.asarray(value), path)}
        raise TypeError(_refusal(value, path))

    def items(self, values: Any, path: tuple[str, ...]) -> list[Any]:
        """Each value packed."""
        return [self.pack(v, (*path, str(i))) for i, v in enumerate(values)]

    def pairs(self, values: Any, path: tuple[str, ...]) -> list[Any]:
        """Each key and value of a mapping packed."""
        return [[self._key(k, path), self.pack(v, (*path, str(k)))] for k, v in values.items()]

    def _key(self, key: Any, path: tuple[str, ...]) -> Any:
        if isinstance(key, Value):
            raise TypeError(f"cannot save {_at(path)}: a tensor cannot be the key of a dict")
        return self.pack(key, path)

    def _tensor(self, x: Any, path: tuple[str, ...]) -> dict[str, Any]:
        kinds: dict[type, str] = {Parameter: "parameter", Buffer: "buffer"}
        out: dict[str, Any] = {kinds.get(type(x), "tensor"): self._name(x.array, path)}
        where = device_of(x.array)
        if where.type != "cpu":
            out["device"] = str(where)
        if x.requires_grad:
            out["requires_grad"] = True
        if type(x) is Buffer and not getattr(x, "persistent", True):
            out["persistent"] = False
        return out

    def _name(self, array: Any, path: tuple[str, ...]) -> str:
        """The name of an array; one that was seen before keeps the name it has."""
        place = (address(array), array.shape, array.strides, str(array.dtype), device_of(array))
        if array.size and place in self.seen:
            return self.seen[place]
        name = wanted = ".".join(path) or "value"
        number = 2
        while name in self.arrays or name == "__metadata__":
            name, number = f"{wanted}#{number}", number + 1
        self.arrays[name] = to_host(array)
        self.seen[place] = name
        return name


def _at(path: tuple[str, ...]) -> str:
    return f"the value at {'.'.join(path)!r}" if path else "this object"


def _refusal(value: Any, path: tuple[str, ...]) -> str:
    what = f"{type(value).__module__}.{type(value).__qualname__}"
    hint = "; save its state_dict()" if hasattr(value, "state_dict") else ""
    return (
        f"cannot save {_at(path)}, a {what}: files hold tensors, arrays, numbers, strings, and"
        f" dicts, lists, tuples and sets of these, so that loading runs no code{hint}"
    )


def _ordered(values: Any) -> list[Any]:
    """A set's members in an order that does not depend on hashes."""
    return sorted(values, key=lambda v: (type(v).__name__, repr(v)))


Writer = Callable[[Packer, Any, tuple[str, ...]], Any]
WRITERS: dict[type, Writer] = {
    dict: lambda p, v, path: {"dict": p.pairs(v, path)},
    OrderedDict: lambda p, v, path: {"ordered": p.pairs(v, path)},
    Counter: lambda p, v, path: {"counter": p.pairs(v, path)},
    Namespace: lambda p, v, path: {"namespace": p.pairs(vars(v), path)},
    SimpleNamespace: lambda p, v, path: {"simple": p.pairs(vars(v), path)},
    list: lambda p, v, path: p.items(v, path),
    tuple: lambda p, v, path: {"tuple": p.items(v, path)},
    set: lambda p, v, path: {"set": p.items(_ordered(v), path)},
    frozenset: lambda p, v, path: {"frozenset": p.items(_ordered(v), path)},
    deque: lambda p, v, path: {"deque": [v.maxlen, p.items(v, path)]},
    Size: lambda p, v, path: {"size": list(v)},
    PosixPath: lambda p, v, path: {"path": str(v)},
    bytes: lambda p, v, path: {"bytes": base64.b64encode(v).decode()},
    complex: lambda p, v, path: {"complex": [repr(v.real), repr(v.imag)]},
    slice: lambda p, v, path: {"slice": p.items((v.start, v.stop, v.step), path)},
    dtype: lambda p, v, path: {"dtype": v.name},
    Device: lambda p, v, path: {"device": str(v)},
    numpy.ndarray: lambda p, v, path: {"array": p._name(v, path)},
}


# ---- back -------------------------------------------------------------------------------------


class Unpacker:
    """Turns JSON values back into the object; `place(tensor, device)` decides where tensors go."""

    def __init__(self, arrays: dict[str, numpy.ndarray], place: Callable[[Any, str], Any]) -> None:
        self.arrays = arrays
        self.place = place
        self.made: dict[Any, Any] = {}

    def unpack(self, value: Any) -> Any:
        """The object that a JSON value stands for.

        Raises: CheckpointError for a kind of value that there is not.
        """
        if isinstance(value, list):
            return [self.unpack(v) for v in value]
        if not isinstance(value, dict):
            return value
        kind = next(iter(value), "")
        if kind in TENSORS:
            return self._tensor(TENSORS[kind], value[kind], value)
        if kind not in READERS or len(value) != 1:
            raise CheckpointError(f"a kind of value that this version does not know: {value!r:.80}")
        return READERS[kind](self, value[kind])

    def pairs(self, values: Any) -> list[Any]:
        """The keys and values of a mapping."""
        return [(self.unpack(k), self.unpack(v)) for k, v in values]

    def array(self, name: Any) -> numpy.ndarray:
        """The array of that name.

        Raises: CheckpointError where the file has none.
        """
        if name not in self.arrays:
            raise CheckpointError(f"it names the tensor {name!r}, which it does not hold")
        return self.arrays[name]

    def _tensor(self, kind: Any, name: Any, about: dict[str, Any]) -> Any:
        device = str(_device(about.get("device", "cpu")))
        first = self.made.get((name, device))
        if first is None:
            x = Tensor(0)
            x.array = self.array(name)
            first = self.made[name, device] = self.place(x, device)
        x = Tensor(0)
        x.array = first.array
        share(x, first)
        if kind is Parameter:
            x = Parameter(x, bool(about.get("requires_grad", False)))
        elif kind is Buffer:
            x = Buffer(x, persistent=bool(about.get("persistent", True)))
        elif about.get("requires_grad"):
            x.requires_grad_()
        return x


def _device(text: Any) -> Device:
    try:
        return Device(text)
    except (RuntimeError, TypeError) as error:
        raise CheckpointError(f"it names no device ({error})") from None


TENSORS = {"tensor": Tensor, "parameter": Parameter, "buffer": Buffer}
READERS: dict[str, Callable[[Unpacker, Any], Any]] = {
    "float": lambda u, v: {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}[v],
    "dict": lambda u, v: dict(u.pairs(v)),
    "ordered": lambda u, v: OrderedDict(u.pairs(v)),
    "counter": lambda u, v: Counter(dict(u.pairs(v))),
    "namespace": lambda u, v: Namespace(**dict(u.pairs(v))),
    "simple": lambda u, v: SimpleNamespace(**dict(u.pairs(v))),
    "deque": lambda u, v: deque(map(u.unpack, v[1]), v[0]),
    "path": lambda u, v: Path(v),
    "tuple": lambda u, v: tuple(map(u.unpack, v)),
    "set": lambda u, v: set(map(u.unpack, v)),
    "frozenset": lambda u, v: frozenset(map(u.unpack, v)),
    "size": lambda u, v: Size(v),
    "bytes": lambda u, v: base64.b64decode(v, validate=True),
    "complex": lambda u, v: complex(float(v[0]), float(v[1])),
    "slice": lambda u, v: slice(*map(u.unpack, v)),
    "dtype": lambda u, v: BY_NAME[v],
    "device": lambda u, v: _device(v),
    "array": lambda u, v: u.array(v),
    "scalar": lambda u, v: u.array(v)[()],
}
