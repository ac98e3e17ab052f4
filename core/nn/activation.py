"""Layers that act on each element by itself."""

from __future__ import annotations

from typing import Any

import core.nn.functional as F
from core.nn.init import constant_
from core.nn.module import Module
from core.nn.parameter import Parameter
from core.ops.creation import empty


class _InPlace(Module):
    """What the activations share that can write into their input."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def extra_repr(self) -> str:
        """Whether it writes into its input."""
        return "inplace=True" if self.inplace else ""

    def _and_inplace(self, text: str) -> str:
        return f"{text}, inplace=True" if self.inplace else text


class _Untold(_InPlace):
    """Those of them whose text, as PyTorch's, does not say so."""

    def extra_repr(self) -> str:
        return ""


class ReLU(_InPlace):
    """Elementwise max(input, 0)."""

    def forward(self, input: Any) -> Any:
        """The result."""
        return F.relu(input, self.inplace)


class SiLU(_InPlace):
    """Elementwise input * sigmoid(input)."""

    def forward(self, input: Any) -> Any:
        """The result."""
        return F.silu(input, self.inplace)


class Mish(_InPlace):
    """Elementwise input * tanh(softplus(input))."""

    def forward(self, input: Any) -> Any:
        """The result."""
        return F.mish(input, self.inplace)


class SELU(_InPlace):
    """The scaled elu that keeps mean 0 and variance 1."""

    def forward(self, input: Any) -> Any:
        """The result."""
        return F.selu(input, self.inplace)


class Hardswish(_Untold):
    """Elementwise input * clip(input + 3, 0, 6) / 6."""

    def forward(self, input: Any) -> Any:
        """The result."""
        return F.hardswish(input, self.inplace)


class Hardsigmoid(_Untold):
    """Elementwise input / 6 + 1/2, kept between 0 and 1."""

    def forward(self, input: Any) -> Any:
        """The result."""
        return F.hardsigmoid(input, self.inplace)


class Hardtanh(_InPlace):
    """Elementwise input, kept between two numbers."""

    def __init__(
        self,
        min_val: float = -1.0,
        max_val: float = 1.0,
        inplace: bool = False,
        min_value: float | None = None,
        max_value: float | None = None,
    ) -> None:
        super().__init__(inplace)
        self.min_val = min_val if min_value is None else min_value
        self.max_val = max_val if max_value is None else max_value
        if self.max_val <= self.min_val:
            raise AssertionError("max_val must be larger than min_val")

    def forward(self, input: Any) -> Any:
        """The result."""
        return F.hardtanh(input, self.min_val, self.max_val, self.inplace)

    def extra_repr(self) -> str:
        """Settings."""
        return self._and_inplace(f"min_val={self.min_val}, max_val={self.max_val}")


class ReLU6(Hardtanh):
    """Elementwise input, kept between 0 and 6."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__(0.0, 6.0, inplace)

    def forward(self, input: Any) -> Any:
        """The result."""
        return F.relu6(input, self.inplace)

    def extra_repr(self) -> str:
        """Settings."""
        return "inplace=True" if self.inplace else ""


class LeakyReLU(_InPlace):
    """Elementwise input above zero, negative_slope * input below."""

    def __init__(self, negative_slope: float = 1e-2, inplace: bool = False) -> None:
        super().__init__(inplace)
        self.negative_slope = negative_slope

    def forward(self, input: Any) -> Any:
        """The result."""
        return F.leaky_relu(input, self.negative_slope, self.inplace)

    def extra_repr(self) -> str:
        """Settings."""
        return self._and_inplace(f"negative_slope={self.negative_slope}")


class ELU(_InPlace):
    """Elementwise input above zero, alpha * (exp(input) - 1) below."""

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__(inplace)
        self.alpha = alpha

    def forward(self, input: Any) -> Any:
        """The result."""
        return F.elu(input, self.alpha, self.inplace)

    def extra_repr(self) -> str:
        """Settings."""
        return self._and_inplace(f"alpha={self.alpha}")


class CELU(_InPlace):
    """Elementwise input above zero, alpha * (exp(input / alpha) - 1) below."""

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__(inplace)
        self.alpha = alpha

    def forward(self, input: Any) -> Any:
        """The result."""
        return F.celu(input, self.alpha, self.inplace)

    def extra_repr(self) -> str:
        """Settings."""
        return self._and_inplace(f"alpha={self.alpha}")


class Threshold(_InPlace):
    """Elementwise input above the threshold, `value` elsewhere."""

    def __init__(self, threshold: float, value: float, inplace: bool = False) -> None:
        super().__init__(inplace)
        self.threshold = threshold
        self.value = value

    def forward(self, input: Any) -> Any:
        """The result."""
        return F.threshold(input, self.threshold, self.value, self.inplace)

    def extra_repr(self) -> str:
        """Settings."""
        return self._and_inplace(f"threshold={self.threshold}, value={self.value}")


class RReLU(_InPlace):
    """Leaky relu whose slope is random per element while training."""

    def __init__(
        self, lower: float = 1.0 / 8, upper: float = 1.0 / 3, inplace: bool = False
    ) -> None:
        super().__init__(inplace)
        self.lower = lower
        self.upper = upper

    def forward(self, input: Any) -> Any:
        """The result."""
        return F.rrelu(input, self.lower, self.upper, self.training, self.inplace)

    def extra_repr(self) -> str:
        """Settings."""
        return self._and_inplace(f"lower={self.lower}, upper={self.upper}")


class GELU(Module):
    """Elementwise input times the normal distribution function of it."""

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        self.approximate = approximate

    def forward(self, input: Any) -> Any:
        """The result."""
        return F.gelu(input, self.approximate)

    def extra_repr(self) -> str:
        """Settings."""
        return f"approximate={self.approximate!r}"


class Softplus(Module):
    """Elementwise log(1 + exp(beta * input)) / beta; input above the threshold."""

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__()
        self.beta = beta
        self.threshold = threshold

    def forward(self, input: Any) -> Any:
        """The result."""
        return F.softplus(input, self.beta, self.threshold)

    def extra_repr(self) -> str:
        """Settings."""
        return f"beta={self.beta}, threshold={self.threshold}"


class Softshrink(Module):
    """Elementwise input brought nearer to zero by `lambd`."""

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = lambd

    def forward(self, input: Any) -> Any:
        """The result."""
        return F.softshrink(input, self.lambd)

    def extra_repr(self) -> str:
        """Settings."""
        return str(self.lambd)


class Hardshrink(Module):
    """Elementwise input, zero where it is nearer to zero than `lambd`."""

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = lambd

    def forward(self, input: Any) -> Any:
        """The result."""
        return F.hardshrink(input, self.lambd)

    def extra_repr(self) -> str:
        """Settings."""
        return str(self.lambd)


class Sigmoid(Module):
    """Elementwise logistic function."""

    def forward(self, input: Any) -> Any:
        """The result."""
        return F.sigmoid(input)


class Tanh(Module):
    """Elementwise hyperbolic tangent."""

    def forward(self, input: Any) -> Any:
        """The result."""
        return F.tanh(input)


class LogSigmoid(Module):
    """Elementwise log(sigmoid(input))."""

    def forward(self, input: Any) -> Any:
        """The result."""
        return F.logsigmoid(input)


class Softsign(Module):
    """Elementwise input / (1 + |input|)."""

    def forward(self, input: Any) -> Any:
        """The result."""
        return F.softsign(input)


class Tanhshrink(Module):
    """Elementwise input - tanh(input)."""

    def forward(self, input: Any) -> Any:
        """The result."""
        return F.tanhshrink(input)


class PReLU(Module):
    """Elementwise input above zero, a learnt weight times input below."""

    def __init__(
        self, num_parameters: int = 1, init: float = 0.25, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__()
        self.num_parameters = num_parameters
        self.init = init
        self.weight = Parameter(empty(num_parameters, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set the weights to their first value."""
        constant_(self.weight, self.init)

    def forward(self, input: Any) -> Any:
        """The result."""
        return F.prelu(input, self.weight)

    def extra_repr(self) -> str:
        """Settings."""
        return f"num_parameters={self.num_parameters}"
