"""What colours pixels have: brightness, contrast, saturation, hue, and none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from core.random import default_generator, permutation
from core.vision import colors
from core.vision.transforms.compose import Shown, uniform


class Grayscale(Shown):
    """The image without colours, in one channel or in three equal ones."""

    def __init__(self, num_output_channels: int = 1) -> None:
        self.num_output_channels = num_output_channels

    def __call__(self, image: Any) -> Any:
        return colors.rgb_to_grayscale(image, self.num_output_channels)


class RandomGrayscale(Shown):
    """The image without colours, in as many channels as before, with probability p."""

    def __init__(self, p: float = 0.1) -> None:
        self.p = p

    def __call__(self, image: Any) -> Any:
        if uniform() >= self.p:
            return image
        return colors.rgb_to_grayscale(image, colors.channels(image))


class ColorJitter(Shown):
    """The image with random brightness, contrast, saturation and hue, in random order.

    A number x stands for factors from max(0, 1 - x) to 1 + x, and for hues from -x to x.
    """

    def __init__(
        self, brightness: Any = 0, contrast: Any = 0, saturation: Any = 0, hue: Any = 0
    ) -> None:
        self.brightness = _around("brightness", brightness, 1.0)
        self.contrast = _around("contrast", contrast, 1.0)
        self.saturation = _around("saturation", saturation, 1.0)
        self.hue = _around("hue", hue, 0.0)

    def __call__(self, image: Any) -> Any:
        steps: list[tuple[Any, Callable[[Any, float], Any]]] = [
            (self.brightness, colors.adjust_brightness),
            (self.contrast, colors.adjust_contrast),
            (self.saturation, colors.adjust_saturation),
            (self.hue, colors.adjust_hue),
        ]
        for place in permutation(default_generator().reserve(), len(steps)).tolist():
            limits, adjust = steps[place]
            if limits is not None:
                image = adjust(image, uniform(*limits))
        return image


def _around(name: str, value: Any, center: float) -> tuple[float, float] | None:
    if isinstance(value, (int, float)):
        if value < 0:
            raise ValueError(f"If {name} is a single number, it must be non negative, got {value}")
        least = -0.5 if name == "hue" else 0.0
        limits = (max(least, center - value), center + value)
    else:
        least, most = value
        limits = (float(least), float(most))
    low, high = (-0.5, 0.5) if name == "hue" else (0.0, float("inf"))
    if not low <= limits[0] <= limits[1] <= high:
        raise ValueError(f"{name} values should be between {low} and {high}, got {limits}")
    return None if limits == (center, center) else limits
