"""The options that many methods share, held to their ranges with PyTorch's sentences."""

from __future__ import annotations

from typing import Any

from core.autograd.value import Value


def check_lr(lr: Any) -> None:
    """Nothing; a learning rate below zero, or of several elements, raises ValueError."""
    check_single(lr)
    if not lr >= 0.0:
        raise ValueError(f"Invalid learning rate: {lr}")


def check_single(lr: Any) -> None:
    """Nothing; a learning rate of several elements raises ValueError."""
    if isinstance(lr, Value) and lr.array.size != 1:
        raise ValueError("Tensor lr must be 1-element")


def check_positive(name: str, value: Any) -> None:
    """Nothing; a value below zero raises ValueError with PyTorch's sentence."""
    if not value >= 0.0:
        raise ValueError(f"Invalid {name} value: {value}")


def check_betas(betas: Any) -> None:
    """Nothing; a decay rate outside [0, 1) raises ValueError."""
    for i, beta in enumerate(betas):
        if not 0.0 <= beta < 1.0:
            raise ValueError(f"Invalid beta parameter at index {i}: {beta}")


def check_fused(fused: Any, foreach: Any) -> None:
    """Nothing; asking for two implementations at once raises RuntimeError."""
    if fused and foreach:
        raise RuntimeError("`fused` and `foreach` cannot be `True` together.")
