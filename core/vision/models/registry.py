"""Models by name; and what every maker of a model refuses."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Any, TypeVar, cast

from core.nn.module import Module

F = TypeVar("F", bound=Callable[..., Module])

_MAKERS: dict[str, Callable[..., Module]] = {}


def maker(function: F) -> F:
    """The function, from now on found by its name; it takes the older argument `pretrained` too."""

    @functools.wraps(function)
    def make(*pretrained: Any, **config: Any) -> Module:
        if pretrained or "pretrained" in config:
            warnings.warn("'pretrained' is deprecated, use 'weights' instead.", stacklevel=2)
            wanted = pretrained[0] if pretrained else config.pop("pretrained")
            config.setdefault("weights", wanted or None)
        return function(**config)

    _MAKERS[function.__name__] = make
    return cast(F, make)


def no_weights(weights: Any) -> None:
    """Raise where trained weights are asked for: none are shipped, and nothing is downloaded.

    Raises: ValueError unless `weights` is None.
    """
    if weights is not None:
        raise ValueError(
            f"weights must be None, got {weights!r}: trained weights are not shipped; load yours"
            " with model.load_state_dict(core.load(path)), the keys are torchvision's"
        )


def list_models(include: Any = None, exclude: Any = None) -> list[str]:
    """The names of all models, or of those that match a pattern like "resnet*".

    Example:
        >>> from core.vision import models
        >>> models.list_models(include="mobile*")
        ['mobilenet_v2']
    """
    names = sorted(_MAKERS)
    if include is not None:
        names = [name for name in names if _matches(name, include)]
    return [name for name in names if exclude is None or not _matches(name, exclude)]


def _matches(name: str, patterns: Any) -> bool:
    every = [patterns] if isinstance(patterns, str) else list(patterns)
    return any(fnmatchcase(name, pattern) for pattern in every)


def get_model_builder(name: str) -> Callable[..., Module]:
    """The function that makes the model called `name`.

    Raises: ValueError where there is none.
    """
    found = _MAKERS.get(name.lower())
    if found is None:
        raise ValueError(f"Unknown model {name}; known are {', '.join(list_models())}")
    return found


def get_model(name: str, **config: Any) -> Module:
    """A new model by its name.

    Raises: ValueError where there is none.
    """
    return get_model_builder(name)(**config)
