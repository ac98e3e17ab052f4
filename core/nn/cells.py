"""One step of a recurrent network."""

from __future__ import annotations

import math
from typing import Any

import core.nn.functional as F
from core.nn.init import uniform_
from core.nn.module import Module
from core.nn.parameter import Parameter
from core.ops.choice import relu
from core.ops.creation import empty, zeros
from core.ops.recurrent import gru_cell, lstm_cell
from core.ops.trigonometric import tanh


class RNNCellBase(Module):
    """What the cells share: their weights, and inputs with or without a batch."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool,
        num_chunks: int,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.bias = bias
        rows = num_chunks * hidden_size
        self.weight_ih = Parameter(empty(rows, input_size, device=device, dtype=dtype))
        self.weight_hh = Parameter(empty(rows, hidden_size, device=device, dtype=dtype))
        for name in ("bias_ih", "bias_hh"):
            made = Parameter(empty(rows, device=device, dtype=dtype)) if bias else None
            self.register_parameter(name, made)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new weights, uniform within 1 / sqrt(hidden_size)."""
        bound = 1.0 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0
        for weight in self.parameters():
            uniform_(weight, -bound, bound)

    def extra_repr(self) -> str:
        """Sizes, and settings that are not the default."""
        text = f"{self.input_size}, {self.hidden_size}"
        if self.bias is not True:
            text += f", bias={self.bias}"
        if getattr(self, "nonlinearity", "tanh") != "tanh":
            text += f", nonlinearity={self.nonlinearity}"
        return text

    def _begin(self, input: Any, states: Any, count: int) -> tuple[Any, list[Any], bool]:
        """The input and the states with a batch, and whether they had one."""
        if len(input.shape) not in (1, 2):
            raise ValueError(
                f"{type(self).__name__}: Expected input to be 1D or 2D, got"
                f" {len(input.shape)}D instead"
            )
        batched = len(input.shape) == 2
        for h in states or ():
            if len(h.shape) not in (1, 2):
                raise ValueError(
                    f"{type(self).__name__}: Expected hidden to be 1D or 2D, got"
                    f" {len(h.shape)}D instead"
                )
        x = input if batched else input.unsqueeze(0)
        if states is None:
            shape = (x.shape[0], self.hidden_size)
            return x, [zeros(shape, dtype=x.dtype, device=x.device)] * count, batched
        return x, [h if batched else h.unsqueeze(0) for h in states], batched

    def _products(self, x: Any, h: Any) -> tuple[Any, Any]:
        return (
            F.linear(x, self.weight_ih, self.bias_ih),
            F.linear(h, self.weight_hh, self.bias_hh),
        )


class RNNCell(RNNCellBase):
    """One step h' = tanh(W x + b + U h + c), or with relu."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 1, device, dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input: Any, hx: Any = None) -> Any:
        """The next state."""
        if self.nonlinearity not in ("tanh", "relu"):
            raise RuntimeError(f"Unknown nonlinearity: {self.nonlinearity}")
        x, (h,), batched = self._begin(input, None if hx is None else (hx,), 1)
        a, b = self._products(x, h)
        out = tanh(a + b) if self.nonlinearity == "tanh" else relu(a + b)
        return out if batched else out.squeeze(0)


class GRUCell(RNNCellBase):
    """One step of a gated recurrent unit."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 3, device, dtype)

    def forward(self, input: Any, hx: Any = None) -> Any:
        """The next state."""
        x, (h,), batched = self._begin(input, None if hx is None else (hx,), 1)
        out = gru_cell(*self._products(x, h), h)
        return out if batched else out.squeeze(0)


class LSTMCell(RNNCellBase):
    """One step of a long short-term memory; its state is (hidden, cell)."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 4, device, dtype)

    def forward(self, input: Any, hx: Any = None) -> tuple[Any, Any]:
        """The next state."""
        x, (h, c), batched = self._begin(input, hx, 2)
        a, b = self._products(x, h)
        h, c = lstm_cell(a + b, c)
        return (h, c) if batched else (h.squeeze(0), c.squeeze(0))
