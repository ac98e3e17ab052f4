"""Schedulers: how the learning rate changes as training goes on."""

from core.optim.lr_scheduler.combined import ChainedScheduler as ChainedScheduler
from core.optim.lr_scheduler.combined import SequentialLR as SequentialLR
from core.optim.lr_scheduler.cosine import CosineAnnealingLR as CosineAnnealingLR
from core.optim.lr_scheduler.cosine import (
    CosineAnnealingWarmRestarts as CosineAnnealingWarmRestarts,
)
from core.optim.lr_scheduler.cyclic import CyclicLR as CyclicLR
from core.optim.lr_scheduler.cyclic import OneCycleLR as OneCycleLR
from core.optim.lr_scheduler.decay import ConstantLR as ConstantLR
from core.optim.lr_scheduler.decay import ExponentialLR as ExponentialLR
from core.optim.lr_scheduler.decay import LambdaLR as LambdaLR
from core.optim.lr_scheduler.decay import LinearLR as LinearLR
from core.optim.lr_scheduler.decay import MultiplicativeLR as MultiplicativeLR
from core.optim.lr_scheduler.decay import MultiStepLR as MultiStepLR
from core.optim.lr_scheduler.decay import PolynomialLR as PolynomialLR
from core.optim.lr_scheduler.decay import StepLR as StepLR
from core.optim.lr_scheduler.plateau import ReduceLROnPlateau as ReduceLROnPlateau
from core.optim.lr_scheduler.scheduler import LRScheduler as LRScheduler

_LRScheduler = LRScheduler  # the name that annotations and base classes had before PyTorch 2

__all__ = [
    "ChainedScheduler",
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "CyclicLR",
    "ExponentialLR",
    "LRScheduler",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "MultiplicativeLR",
    "OneCycleLR",
    "PolynomialLR",
    "ReduceLROnPlateau",
    "SequentialLR",
    "StepLR",
]
