"""How an op is declared, recorded and differentiated."""

import importlib as _importlib
from typing import Any as _Any

from core.autograd import forward_ad as forward_ad
from core.autograd import functional as functional
from core.autograd import graph as graph
from core.autograd.anomaly import detect_anomaly as detect_anomaly
from core.autograd.anomaly import is_anomaly_check_nan_enabled as is_anomaly_check_nan_enabled
from core.autograd.anomaly import is_anomaly_enabled as is_anomaly_enabled
from core.autograd.anomaly import set_detect_anomaly as set_detect_anomaly
from core.autograd.function import Function as Function
from core.autograd.gradients import backward as backward
from core.autograd.gradients import grad as grad
from core.autograd.mode import enable_grad as enable_grad
from core.autograd.mode import inference_mode as inference_mode
from core.autograd.mode import no_grad as no_grad
from core.autograd.mode import set_grad_enabled as set_grad_enabled
from core.autograd.variable import Variable as Variable


def __getattr__(name: str) -> _Any:
    if name == "profiler":  # it looks at optimizers and loaders, so it stands above this package
        return _importlib.import_module("core.autograd.profiler")
    raise AttributeError(f"module 'core.autograd' has no attribute {name!r}")
