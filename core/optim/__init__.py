"""Optimizers: how parameters move, given their gradients."""

import importlib as _importlib
import types as _types

from core.optim import lr_scheduler as lr_scheduler
from core.optim.adadelta import Adadelta as Adadelta
from core.optim.adafactor import Adafactor as Adafactor
from core.optim.adagrad import Adagrad as Adagrad
from core.optim.adam import Adam as Adam
from core.optim.adam import AdamW as AdamW
from core.optim.adamax import Adamax as Adamax
from core.optim.asgd import ASGD as ASGD
from core.optim.lamb import LAMB as LAMB
from core.optim.lars import LARS as LARS
from core.optim.lbfgs import LBFGS as LBFGS
from core.optim.lion import Lion as Lion
from core.optim.muon import Muon as Muon
from core.optim.nadam import NAdam as NAdam
from core.optim.optimizer import Optimizer as Optimizer
from core.optim.radam import RAdam as RAdam
from core.optim.rmsprop import RMSprop as RMSprop
from core.optim.rprop import Rprop as Rprop
from core.optim.sgd import SGD as SGD

__all__ = [
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "ASGD",
    "LAMB",
    "LARS",
    "LBFGS",
    "Lion",
    "Muon",
    "NAdam",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "Rprop",
    "SGD",
    "lr_scheduler",
]


def __getattr__(name: str) -> _types.ModuleType:
    if name == "swa_utils":  # it averages modules, so it stands above this package
        return _importlib.import_module("core.optim.swa_utils")
    raise AttributeError(f"module 'core.optim' has no attribute {name!r}")
