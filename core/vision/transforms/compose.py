"""Transforms put together, and what every transform shows of itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from core.random import bits, default_generator, permutation


class Shown:
    """A transform whose repr is its name and its options."""

    def __repr__(self) -> str:
        options = ", ".join(f"{name}={value}" for name, value in vars(self).items())
        return f"{type(self).__name__}({options})"


def uniform(low: float = 0.0, high: float = 1.0) -> float:
    """A random number from `low` to below `high`."""
    # One word by hand: 2.5 us, where an array of one takes 20.
    word = int(bits(default_generator().reserve(), 1)[0])
    return low + (high - low) * (word >> 11) * 2.0**-53


def below(count: int) -> int:
    """A random whole number below `count`."""
    return int(bits(default_generator().reserve(), 1)[0]) * count >> 64


class Compose:
    """Transforms one after the other."""

    def __init__(self, transforms: Sequence[Callable[[Any], Any]]) -> None:
        self.transforms = transforms

    def __call__(self, image: Any) -> Any:
        for transform in self.transforms:
            image = transform(image)
        return image

    def __repr__(self) -> str:
        lines = [f"    {transform}" for transform in self.transforms]
        return "\n".join([f"{type(self).__name__}(", *lines, ")"])


class Lambda:
    """A function as a transform; for loaders with workers it must be one that pickle can name."""

    def __init__(self, lambd: Callable[[Any], Any]) -> None:
        if not callable(lambd):
            raise TypeError(f"Argument lambd should be callable, got {type(lambd).__name__}")
        self.lambd = lambd

    def __call__(self, image: Any) -> Any:
        return self.lambd(image)

    def __repr__(self) -> str:
        return "Lambda()"


class RandomApply(Compose):
    """All of the transforms with probability p, otherwise none."""

    def __init__(self, transforms: Sequence[Callable[[Any], Any]], p: float = 0.5) -> None:
        super().__init__(transforms)
        self.p = p

    def __call__(self, image: Any) -> Any:
        return super().__call__(image) if uniform() < self.p else image


class RandomChoice(Compose):
    """One of the transforms, each as likely."""

    def __call__(self, image: Any) -> Any:
        return self.transforms[below(len(self.transforms))](image)


class RandomOrder(Compose):
    """All of the transforms in random order."""

    def __call__(self, image: Any) -> Any:
        order = permutation(default_generator().reserve(), len(self.transforms))
        for place in order.tolist():
            image = self.transforms[place](image)
        return image
