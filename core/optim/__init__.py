"""Optimizers: how parameters move, given their gradients."""

from core.optim.adam import Adam as Adam
from core.optim.adam import AdamW as AdamW
from core.optim.optimizer import Optimizer as Optimizer
from core.optim.sgd import SGD as SGD

__all__ = ["Adam", "AdamW", "Optimizer", "SGD"]
