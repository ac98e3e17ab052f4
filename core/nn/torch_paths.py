"""PyTorch's import paths for what stands in files named after what they hold: `nn.utils`, ..."""

from __future__ import annotations

import sys
import types
from typing import Any

from core.nn import (
    clip,
    conv,
    fusion,
    hooks,
    loss,
    normalization,
    orthogonal,
    packing,
    parametrize,
    prune,
    pruning,
    stateless,
    vectors,
    weight_hooks,
    weight_norms,
    weights,
)


def _module(name: str, doc: str, **members: Any) -> types.ModuleType:
    module = types.ModuleType(name, doc)
    module.__dict__.update(members)
    module.__dict__["__all__"] = list(members)
    sys.modules[name] = module
    return module


def _public(module: types.ModuleType) -> dict[str, Any]:
    """What a file defines itself."""
    return {
        name: value
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", "") == module.__name__
    }


def _some(module: types.ModuleType, names: str) -> dict[str, Any]:
    """These names of a file, also those that programs ask for although they are private."""
    return {name: vars(module)[name] for name in names.split()}


_ROOT = "core.nn.utils"
rnn = _module(f"{_ROOT}.rnn", "Sequences of different lengths.", **_public(packing))
utils = _module(
    _ROOT,
    "What PyTorch keeps in torch.nn.utils.",
    rnn=rnn,
    parametrize=_module(
        f"{_ROOT}.parametrize", "Parameters computed from others.", **_public(parametrize)
    ),
    parametrizations=_module(
        f"{_ROOT}.parametrizations",
        "Ways to compute a parameter.",
        weight_norm=weight_norms.weight_norm,
        spectral_norm=weight_norms.spectral_norm,
        orthogonal=orthogonal.orthogonal,
    ),
    stateless=_module(f"{_ROOT}.stateless", "Calls with other parameters.", **_public(stateless)),
    prune=_module(f"{_ROOT}.prune", "Weights held at zero.", **_public(pruning), **_public(prune)),
    fusion=fusion,
    clip_grad=clip,
    convert_parameters=vectors,
    **_public(weight_hooks),
    **_public(clip),
    **_public(vectors),
    **_public(fusion),
    **_public(weights),
)
modules = _module(
    "core.nn.modules",
    "What PyTorch keeps in torch.nn.modules.",
    module=_module("core.nn.modules.module", "Hooks of all modules.", **_public(hooks)),
    batchnorm=_module(
        "core.nn.modules.batchnorm",
        "Batch norms, and what they and instance norms share.",
        _NormBase=normalization.NormWithStatistics,
        **_some(normalization, "_BatchNorm BatchNorm1d BatchNorm2d BatchNorm3d"),
    ),
    instancenorm=_module(
        "core.nn.modules.instancenorm",
        "Instance norms, and what they share.",
        **_some(normalization, "_InstanceNorm InstanceNorm1d InstanceNorm2d InstanceNorm3d"),
    ),
    conv=_module(
        "core.nn.modules.conv",
        "Convolutions, and what they share.",
        **_some(conv, "_ConvNd Conv1d Conv2d Conv3d"),
        **_some(conv, "ConvTranspose1d ConvTranspose2d ConvTranspose3d"),
    ),
    loss=_module(
        "core.nn.modules.loss",
        "What losses share.",
        _Loss=loss.Loss,
        _WeightedLoss=loss.WeightedLoss,
    ),
)
