"""The classes of results with named parts: `core.max(x, 0)` is a `return_types.max`."""

from core.ops.decompose import EighResult as linalg_eigh
from core.ops.decompose import QrResult as linalg_qr
from core.ops.decompose import SlogdetResult as slogdet
from core.ops.decompose import SvdResult as linalg_svd
from core.ops.matrices import OldSvdResult as svd
from core.ops.results import (
    aminmax,
    cummax,
    cummin,
    frexp,
    histogram,
    histogramdd,
    kthvalue,
    max,
    median,
    min,
    mode,
    nanmedian,
    sort,
    topk,
)
from core.ops.solve import LstsqResult as linalg_lstsq

__all__ = [
    "aminmax", "cummax", "cummin", "frexp", "histogram", "histogramdd", "kthvalue", "linalg_eigh",
    "linalg_lstsq", "linalg_qr", "linalg_svd", "max", "median", "min", "mode", "nanmedian",
    "slogdet", "sort", "svd", "topk",
]  # fmt: skip
