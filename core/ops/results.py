"""What ops with several results return: tuples with names, printed as PyTorch prints them."""

from __future__ import annotations

import collections
from typing import Any

__all__: list[str] = []


def _text(self: Any) -> str:
    parts = ",\n".join(f"{name}={value!r}" for name, value in zip(self._fields, self))
    return f"core.return_types.{type(self).__name__}(\n{parts})"


def result(name: str, *fields: str) -> Any:
    """A class of tuples called `name` with these fields.

    Example:
        >>> print(result("max", "values", "indices")(3.5, 1))
        core.return_types.max(
        values=3.5,
        indices=1)
    """
    return type(name, (collections.namedtuple(name, fields),), {"__repr__": _text, "__slots__": ()})


# Kept at module level, so that results can be pickled between our own processes.
max = result("max", "values", "indices")
min = result("min", "values", "indices")
aminmax = result("aminmax", "min", "max")
median = result("median", "values", "indices")
nanmedian = result("nanmedian", "values", "indices")
mode = result("mode", "values", "indices")
sort = result("sort", "values", "indices")
topk = result("topk", "values", "indices")
kthvalue = result("kthvalue", "values", "indices")
cummax = result("cummax", "values", "indices")
cummin = result("cummin", "values", "indices")
frexp = result("frexp", "mantissa", "exponent")
histogram = result("histogram", "hist", "bin_edges")
histogramdd = result("histogramdd", "hist", "bin_edges")
