"""Functions of layers whose arguments are others at PyTorch's root than in `nn.functional`."""

from __future__ import annotations

from typing import Any

from core.nn import functional as F

__all__ = """
alpha_dropout alpha_dropout_ batch_norm dropout dropout_ embedding feature_alpha_dropout
feature_alpha_dropout_ feature_dropout feature_dropout_ instance_norm
""".split()


def _pair(masked: Any, name: str) -> Any:
    def drop(input: Any, p: float, train: bool) -> Any:
        return masked(input, p, train)

    def drop_(input: Any, p: float, train: bool) -> Any:
        return masked(input, p, train, inplace=True)

    drop.__name__, drop_.__name__ = name, f"{name}_"
    drop.__doc__ = f"What nn.functional.{masked.__name__} gives while `train`."
    drop_.__doc__ = f"{drop.__doc__[:-1]}, written into `input`."
    return drop, drop_


def _channels(input: Any, p: float, train: bool, inplace: bool = False) -> Any:
    """Whole channels zero with probability `p`, else divided by 1 - p."""
    by_dims = {2: F.dropout, 3: F.dropout1d, 4: F.dropout2d}
    return by_dims.get(input.dim(), F.dropout3d)(input, p, train, inplace)


_channels.__name__ = "dropout2d"

dropout, dropout_ = _pair(F.dropout, "dropout")
alpha_dropout, alpha_dropout_ = _pair(F.alpha_dropout, "alpha_dropout")
feature_alpha_dropout, feature_alpha_dropout_ = _pair(
    F.feature_alpha_dropout, "feature_alpha_dropout"
)
feature_dropout, feature_dropout_ = _pair(_channels, "feature_dropout")


def embedding(
    weight: Any,
    indices: Any,
    padding_idx: int = -1,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Any:
    """The rows of `weight` that `indices` name."""
    padding = None if padding_idx < 0 else padding_idx
    return F.embedding(
        indices, weight, padding, scale_grad_by_freq=scale_grad_by_freq, sparse=sparse
    )


def batch_norm(
    input: Any,
    weight: Any,
    bias: Any,
    running_mean: Any,
    running_var: Any,
    training: bool,
    momentum: float,
    eps: float,
    cudnn_enabled: bool,
) -> Any:
    """What nn.functional.batch_norm gives."""
    return F.batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)


def instance_norm(
    input: Any,
    weight: Any,
    bias: Any,
    running_mean: Any,
    running_var: Any,
    use_input_stats: bool,
    momentum: float,
    eps: float,
    cudnn_enabled: bool,
) -> Any:
    """What nn.functional.instance_norm gives."""
    return F.instance_norm(
        input, running_mean, running_var, weight, bias, use_input_stats, momentum, eps
    )
