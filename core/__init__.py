"""Tensors, autograd, layers, optimizers and data on NumPy and CuPy, with PyTorch's names."""

import importlib as _importlib
import math as _math
import types as _types
import warnings
from typing import Any as _Any

import core.methods
from core import autograd as autograd
from core import cuda as cuda
from core import kernels as kernels
from core import linalg as linalg
from core import special as special
from core.autograd.anomaly import is_anomaly_check_nan_enabled as is_anomaly_check_nan_enabled
from core.autograd.anomaly import is_anomaly_enabled as is_anomaly_enabled
from core.autograd.demand import published as _published
from core.autograd.mode import enable_grad as enable_grad
from core.autograd.mode import inference_mode as inference_mode
from core.autograd.mode import is_grad_enabled as is_grad_enabled
from core.autograd.mode import is_inference_mode_enabled as is_inference_mode_enabled
from core.autograd.mode import no_grad as no_grad
from core.autograd.mode import set_grad_enabled as set_grad_enabled
from core.backend import Device as device
from core.backend import get_default_device as get_default_device
from core.backend import set_default_device as set_default_device
from core.dtype import bfloat16 as bfloat16
from core.dtype import bool as bool
from core.dtype import can_cast as can_cast
from core.dtype import double as double
from core.dtype import dtype as dtype
from core.dtype import finfo as finfo
from core.dtype import float as float
from core.dtype import float16 as float16
from core.dtype import float32 as float32
from core.dtype import float64 as float64
from core.dtype import get_default_dtype as get_default_dtype
from core.dtype import half as half
from core.dtype import iinfo as iinfo
from core.dtype import int as int
from core.dtype import int8 as int8
from core.dtype import int16 as int16
from core.dtype import int32 as int32
from core.dtype import int64 as int64
from core.dtype import long as long
from core.dtype import promote_types as promote_types
from core.dtype import set_default_dtype as set_default_dtype
from core.dtype import short as short
from core.dtype import uint8 as uint8
from core.dtype import why_missing as _why_missing
from core.exchange import from_dlpack as from_dlpack
from core.layout import *
from core.older import is_nonzero as is_nonzero
from core.older import is_same_size as is_same_size
from core.ops.arrange import *
from core.ops.assign import *
from core.ops.bitwise import *
from core.ops.cast import *
from core.ops.choice import *
from core.ops.compare import *
from core.ops.conjugate import *
from core.ops.copies import *
from core.ops.creation import *
from core.ops.differences import *
from core.ops.distance import *
from core.ops.division import *
from core.ops.einsum import *
from core.ops.elementwise import *
from core.ops.exponential import *
from core.ops.extreme import *
from core.ops.factors import *
from core.ops.gamma import *
from core.ops.gather import *
from core.ops.incomplete import *
from core.ops.index import *
from core.ops.join import *
from core.ops.linalg import *
from core.ops.masked import *
from core.ops.matrices import *
from core.ops.movement import *
from core.ops.pad import *
from core.ops.parts import *
from core.ops.product import *
from core.ops.promotion import *
from core.ops.quantile import *
from core.ops.reduce import *
from core.ops.rounding import *
from core.ops.sampling import *
from core.ops.scan import *
from core.ops.scatter import *
from core.ops.scatter_reduce import *
from core.ops.sequences import *
from core.ops.shape import *
from core.ops.softmax import *
from core.ops.solve import *
from core.ops.sort import *
from core.ops.special import *
from core.ops.statistics import *
from core.ops.strided import *
from core.ops.triangle import *
from core.ops.trigonometric import *
from core.ops.unique import *
from core.ops.vector_norm import *
from core.printing import get_printoptions as get_printoptions
from core.printing import printoptions as printoptions
from core.printing import set_printoptions as set_printoptions
from core.random import Generator as Generator
from core.random import get_rng_state as get_rng_state
from core.random import initial_seed as initial_seed
from core.random import manual_seed as manual_seed
from core.random import seed as seed
from core.random import set_rng_state as set_rng_state
from core.recompute import checkpoint as checkpoint
from core.size import Size as Size
from core.tensor import Tensor as Tensor
from core.testing import gradcheck as gradcheck
from core.testing import gradgradcheck as gradgradcheck
from core.types import *

__version__ = "0.1.0.dev0"

_NUMBERS_FIRST = "add sub subtract div divide true_divide floor_divide float_power matmul"
_TENSORS = "input tensor A L x x1 sorted_sequence tensors"  # names of first arguments that are
globals().update(_published(globals(), "core", firsts=_TENSORS, but=_NUMBERS_FIRST))

e, inf, nan, pi, newaxis = _math.e, _math.inf, _math.nan, _math.pi, None

# Functions that write into their first argument: the methods of these names.
globals().update(
    (name, getattr(Tensor, name))
    for name in """
    abs_ acos_ acosh_ addmv_ arccos_ arccosh_ arcsin_ arcsinh_ arctan_ arctanh_ as_strided_ asin_
    asinh_ atan_ atanh_ ceil_ clamp_ clamp_max_ clamp_min_ clip_ cos_ cosh_ deg2rad_ detach_ erf_
    erfc_ exp2_ exp_ expm1_ fill_ fix_ floor_ frac_ gcd_ i0_ index_put_ lcm_ ldexp_ log10_ log1p_
    log2_ log_ logit_ nan_to_num_ neg_ negative_ rad2deg_ reciprocal_ relu_ resize_as_ round_
    rsqrt_ sigmoid_ sin_ sinc_ sinh_ sqrt_ square_ tan_ tanh_ trunc_ xlogy_ zero_
    """.split()
)

autograd.gradcheck = gradcheck
autograd.gradgradcheck = gradgradcheck

# Division by zero and overflow give inf and nan in silence, as in PyTorch; only the warnings of our
# own modules go.
warnings.filterwarnings("ignore", category=RuntimeWarning, module=r"(core|ddp)\.")

kernels.install()

# With these `import core` would take twice the time: each comes when it is asked for.
_LATE = {
    name: f"core.{name}"
    for name in (
        "accelerator",
        "amp",
        "backends",
        "benchmark",
        "compiler",
        "cuda",
        "data",
        "distributions",
        "func",
        "jit",
        "nn",
        "onnx",
        "optim",
        "profiler",
        "return_types",
        "serialization",
        "vision",
    )
}
_LATE_NAMES = dict.fromkeys(("CheckpointError", "load", "save"), "core.serialization")
_LATE_NAMES |= dict.fromkeys(
    (
        "are_deterministic_algorithms_enabled",
        "get_float32_matmul_precision",
        "get_num_interop_threads",
        "get_num_threads",
        "set_float32_matmul_precision",
        "set_num_interop_threads",
        "set_num_threads",
        "use_deterministic_algorithms",
    ),
    "core.settings",
)
_LATE_NAMES["GradScaler"] = "core.amp.scaler"
_LATE_NAMES |= dict.fromkeys(
    (
        "autocast",
        "clear_autocast_cache",
        "get_autocast_dtype",
        "is_autocast_cache_enabled",
        "is_autocast_enabled",
        "set_autocast_cache_enabled",
        "set_autocast_dtype",
    ),
    "core.amp.casting",
)
_LATE_NAMES |= dict.fromkeys(
    """
    adaptive_avg_pool1d avg_pool1d bilinear celu celu_ channel_shuffle conv1d conv2d conv3d
    conv_transpose1d conv_transpose2d conv_transpose3d group_norm hardshrink layer_norm max_pool1d
    max_pool2d max_pool3d pixel_shuffle pixel_unshuffle prelu rms_norm rrelu rrelu_ selu selu_
    threshold threshold_
    """.split(),
    "core.nn.functional",
)
_LATE_NAMES |= dict.fromkeys(
    """
    alpha_dropout alpha_dropout_ batch_norm dropout dropout_ embedding feature_alpha_dropout
    feature_alpha_dropout_ feature_dropout feature_dropout_ instance_norm
    """.split(),
    "core.nn.torch_functions",
)
_LATE_NAMES |= {"compile": "core.compiler", "vmap": "core.func"}


def __getattr__(name: str) -> _Any:
    if name in _LATE:
        return _importlib.import_module(_LATE[name])
    if name in _LATE_NAMES:
        return getattr(_importlib.import_module(_LATE_NAMES[name]), name)
    raise AttributeError(f"module 'core' has no attribute {name!r}{_why_missing(name)}")


__all__ = [
    name
    for name, value in globals().items()
    if not name.startswith("_") and not isinstance(value, _types.ModuleType)
] + list(_LATE_NAMES)
