"""Weights that are left as memory gave them, or laid out in another order."""

from __future__ import annotations

import inspect
from typing import Any

from core.nn.conv import Conv2d, Conv3d, ConvTranspose2d, ConvTranspose3d
from core.nn.init import left_out
from core.nn.module import Module


def skip_init(module_cls: Any, *args: Any, **kwargs: Any) -> Any:
    """A module made without drawing its parameters, which hold whatever the memory held.

    Raises: RuntimeError for a class that is no Module, or that takes no `device`.
    """
    if not issubclass(module_cls, Module):
        raise RuntimeError(f"Expected a Module; got {module_cls}")
    if "device" not in inspect.signature(module_cls).parameters:
        raise RuntimeError("Module must support a 'device' arg to skip initialization")
    with left_out():
        return module_cls(*args, **kwargs)


def convert_conv2d_weight_memory_format(module: Any, memory_format: Any) -> Any:
    """The module, whose convolutions of images have weights in that memory format."""
    return _laid(module, (Conv2d, ConvTranspose2d), memory_format)


def convert_conv3d_weight_memory_format(module: Any, memory_format: Any) -> Any:
    """The module, whose convolutions of volumes have weights in that memory format."""
    return _laid(module, (Conv3d, ConvTranspose3d), memory_format)


def _laid(module: Module, kinds: tuple[type, ...], memory_format: Any) -> Any:
    for part in module.modules():
        if isinstance(part, kinds):
            weight = part.get_parameter("weight")
            weight.data = weight.detach().clone(memory_format=memory_format)
    return module
