"""Recurrent networks over whole sequences."""

from __future__ import annotations

import math
from typing import Any

import core.nn.functional as F
from core.autograd.mode import mode
from core.nn.init import uniform_
from core.nn.module import Module
from core.nn.packing import PackedSequence
from core.nn.parameter import Parameter
from core.notice import notice
from core.ops.choice import relu
from core.ops.creation import empty, zeros
from core.ops.gather import index_select
from core.ops.join import cat, stack
from core.ops.recurrent import gru_cell, lstm_cell
from core.ops.shape import transpose
from core.ops.trigonometric import tanh

GATES = {"LSTM": 4, "GRU": 3, "RNN_TANH": 1, "RNN_RELU": 1}


class RNNBase(Module):
    """What the recurrent networks share: weights, and the walk over layers, directions and time."""

    def __init__(
        self,
        mode: str,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        _check_kinds(input_size, bias, batch_first)
        _check(hidden_size, num_layers, dropout, proj_size, mode)
        self.mode = mode
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bias
        self.batch_first = batch_first
        self.dropout = float(dropout)
        self.bidirectional = bidirectional
        self.proj_size = proj_size
        self._make((device, dtype))
        self.reset_parameters()

    @property
    def all_weights(self) -> list[list[Any]]:
        """The weights of each layer and direction."""
        return [self._weights(*place) for place in self._places()]

    def _places(self) -> list[tuple[int, int]]:
        return [(n, d) for n in range(self.num_layers) for d in range(self._directions())]

    def _directions(self) -> int:
        return 2 if self.bidirectional else 1

    def _names(self, layer: int, direction: int) -> list[str]:
        end = f"_l{layer}" + ("_reverse" if direction else "")
        kinds = ["weight_ih", "weight_hh"]
        kinds += ["bias_ih", "bias_hh"] if self.bias else []
        kinds += ["weight_hr"] if self.proj_size else []
        return [kind + end for kind in kinds]

    def _make(self, where: tuple[Any, Any]) -> None:
        device, dtype = where
        rows = GATES[self.mode] * self.hidden_size
        out = self.proj_size or self.hidden_size
        for layer, direction in self._places():
            width = self.input_size if layer == 0 else out * self._directions()
            shapes: list[tuple[int, ...]] = [(rows, width), (rows, out)]
            shapes += [(rows,), (rows,)] if self.bias else []
            shapes += [(self.proj_size, self.hidden_size)] if self.proj_size else []
            for name, shape in zip(self._names(layer, direction), shapes, strict=True):
                setattr(self, name, Parameter(empty(shape, device=device, dtype=dtype)))

    def _weights(self, layer: int, direction: int) -> list[Any]:
        return [getattr(self, name) for name in self._names(layer, direction)]

    def flatten_parameters(self) -> None:
        """Nothing: PyTorch's hint to cuDNN is not needed here."""

    def reset_parameters(self) -> None:
        """Draw new weights, uniform within 1 / sqrt(hidden_size)."""
        bound = 1.0 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0
        for weight in self.parameters():
            uniform_(weight, -bound, bound)

    def extra_repr(self) -> str:
        """Settings, where they are not the default."""
        text = f"{self.input_size}, {self.hidden_size}"
        defaults = {
            "proj_size": 0, "num_layers": 1, "bias": True, "batch_first": False,
            "dropout": 0.0, "bidirectional": False,
        }  # fmt: skip
        for name, default in defaults.items():
            if getattr(self, name) != default:
                text += f", {name}={getattr(self, name)}"
        return text

    # ---- the walk ----

    def forward(self, input: Any, hx: Any = None) -> Any:
        """The last layer's output at every step, and the final state of all layers.

        Shape: (L, N, input_size), state (layers * directions, N, H) -> (L, N, D * H), state.
        """
        if isinstance(input, PackedSequence):
            return self._forward_packed(input, hx)
        if len(input.shape) not in (2, 3):
            raise ValueError(
                f"{type(self).__name__}: Expected input to be 2D or 3D, got"
                f" {len(input.shape)}D instead"
            )
        batched = len(input.shape) == 3
        axis = 0 if self.batch_first and batched else 1
        x = input if batched else input.unsqueeze(1)
        states = _each(hx, lambda h: h if batched else h.unsqueeze(1))
        x = transpose(x, 0, 1) if axis == 0 else x
        steps, count = x.shape[0], x.shape[1]
        if not steps:
            raise RuntimeError("Expected sequence length to be larger than 0 in RNN")
        self._check_input(x, states, count)
        flat = x.reshape(steps * count, x.shape[2])
        out, final = self._run(flat, [count] * steps, states)
        out = out.reshape(steps, count, out.shape[1])
        out = transpose(out, 0, 1) if axis == 0 else out
        if batched:
            return out, self._state(final)
        return out.squeeze(1), self._state([h.squeeze(1) for h in final])

    def _forward_packed(self, input: PackedSequence, hx: Any) -> Any:
        order, back = input.sorted_indices, input.unsorted_indices
        states = _each(hx, lambda h: h if order is None else index_select(h, 1, order))
        counts = input.batch_sizes.tolist()
        self._check_input(input.data, states, counts[0])
        out, final = self._run(input.data, counts, states)
        if back is not None:
            final = [index_select(h, 1, back) for h in final]
        return input._replace(data=out), self._state(final)

    def _state(self, final: list[Any]) -> Any:
        return tuple(final) if len(final) > 1 else final[0]

    def _sizes(self) -> list[int]:
        """The width of each part of the state."""
        return [self.proj_size or self.hidden_size]

    def _check_input(self, x: Any, states: Any, count: int) -> None:
        if x.shape[-1] != self.input_size:
            raise RuntimeError(
                f"input.size(-1) must be equal to input_size. Expected {self.input_size}, got"
                f" {x.shape[-1]}"
            )
        have, want = x.dtype, self.weight_ih_l0.dtype
        if have is not want and not mode.watchers:
            raise ValueError(
                f"RNN input dtype ({have}) does not match weight dtype ({want}). Convert input:"
                f" input.to({want}), or convert model: model.to({have})"
            )
        layers = self.num_layers * self._directions()
        for h, width in zip(states or (), self._sizes(), strict=False):
            if tuple(h.shape) != (layers, count, width):
                raise RuntimeError(
                    f"Expected hidden size {(layers, count, width)}, got {list(h.shape)}"
                )

    def _run(self, x: Any, counts: list[int], states: Any) -> tuple[Any, list[Any]]:
        """The rows of all steps through all layers; and the final parts of the state."""
        ends: list[list[Any]] = []
        for layer in range(self.num_layers):
            outs = []
            for direction in range(self._directions()):
                place = layer * self._directions() + direction
                if states:
                    start = [h[place] for h in states]
                else:
                    start = [
                        zeros(counts[0], n, dtype=x.dtype, device=x.device) for n in self._sizes()
                    ]
                out, end = self._walk(x, counts, start, layer, direction)
                outs.append(out)
                ends.append(end)
            x = outs[0] if len(outs) == 1 else cat(outs, 1)
            if self.dropout and layer < self.num_layers - 1:
                x = F.dropout(x, self.dropout, self.training)
        return x, [stack(parts) for parts in zip(*ends, strict=True)]

    def _walk(
        self, x: Any, counts: list[int], state: list[Any], layer: int, direction: int
    ) -> tuple[Any, list[Any]]:
        """One layer in one direction: its output rows and the state each sequence ends with.

        Sequences are sorted, longest first: the first rows of each step go on.
        """
        weights = self._weights(layer, direction)
        fed = F.linear(x, weights[0], weights[2] if self.bias else None)
        starts = [sum(counts[:t]) for t in range(len(counts))]
        order = range(len(counts) - 1, -1, -1) if direction else range(len(counts))
        outs: dict[int, Any] = {}
        done: list[list[Any]] = []
        first, state = state, [h[: counts[order[0]]] for h in state]
        for t in order:
            count, have = counts[t], state[0].shape[0]
            if count < have:
                done.append([h[count:] for h in state])
                state = [h[:count] for h in state]
            elif count > have:
                state = [cat([h, h0[have:count]]) for h, h0 in zip(state, first, strict=True)]
            part = fed if len(counts) == 1 else fed[starts[t] : starts[t] + count]
            state = self._step(part, state, weights)
            outs[t] = state[0]
        for rest in reversed(done):
            state = [cat([h, r]) for h, r in zip(state, rest, strict=True)]
        rows = [outs[t] for t in range(len(counts))]
        return (cat(rows) if len(rows) > 1 else rows[0]), state

    def _step(self, fed: Any, state: list[Any], weights: list[Any]) -> list[Any]:
        """The state after one step."""
        raise NotImplementedError


def _each(states: Any, function: Any) -> Any:
    if states is None:
        return None
    return [function(h) for h in (states if isinstance(states, (tuple, list)) else (states,))]


def _check_kinds(input_size: Any, bias: Any, batch_first: Any) -> None:
    for name, value, kind in (
        ("bias", bias, bool),
        ("batch_first", batch_first, bool),
        ("input_size", input_size, int),
    ):
        if not isinstance(value, kind):
            raise TypeError(
                f"{name} should be of type {kind.__name__}, got: {type(value).__name__}"
            )
    if input_size <= 0:
        raise ValueError("input_size must be greater than zero")


def _check(hidden_size: Any, num_layers: Any, dropout: Any, proj_size: int, mode: str) -> None:
    if not isinstance(hidden_size, int):
        raise TypeError(f"hidden_size should be of type int, got: {type(hidden_size).__name__}")
    if hidden_size <= 0:
        raise ValueError("hidden_size must be greater than zero")
    if num_layers <= 0:
        raise ValueError("num_layers must be greater than zero")
    if isinstance(dropout, bool) or not 0 <= dropout <= 1:
        raise ValueError(
            "dropout should be a number in range [0, 1] representing the probability of an element"
            " being zeroed"
        )
    if dropout and num_layers == 1:
        notice(
            "dropout option adds dropout after all but last recurrent layer, so non-zero dropout"
            f" expects num_layers greater than 1, but got dropout={dropout} and num_layers=1"
        )
    if proj_size < 0 or (proj_size and mode != "LSTM"):
        raise ValueError("proj_size should be a positive integer or zero to disable projections")
    if proj_size >= hidden_size:
        raise ValueError("proj_size has to be smaller than hidden_size")


class RNN(RNNBase):
    """The recurrent network h' = tanh(W x + b + U h + c), or with relu."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        *args: Any,
        **kwargs: Any,
    ) -> None:
        if kwargs.get("proj_size"):
            raise ValueError("proj_size argument is only supported for LSTM, not RNN or GRU")
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(
                f"Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'."
            )
        self_mode = "RNN_" + nonlinearity.upper()
        super().__init__(self_mode, input_size, hidden_size, num_layers, *args, **kwargs)
        self.nonlinearity = nonlinearity

    def _step(self, fed: Any, state: list[Any], weights: list[Any]) -> list[Any]:
        total = fed + F.linear(state[0], weights[1], weights[3] if self.bias else None)
        return [tanh(total) if self.mode == "RNN_TANH" else relu(total)]


class GRU(RNNBase):
    """The gated recurrent unit.

    Source: Cho et al. (2014).
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if kwargs.get("proj_size"):
            raise ValueError("proj_size argument is only supported for LSTM, not RNN or GRU")
        super().__init__("GRU", *args, **kwargs)

    def _step(self, fed: Any, state: list[Any], weights: list[Any]) -> list[Any]:
        kept = F.linear(state[0], weights[1], weights[3] if self.bias else None)
        return [gru_cell(fed, kept, state[0])]


class LSTM(RNNBase):
    """The long short-term memory; its state is (hidden, cell).

    Source: Hochreiter & Schmidhuber (1997).
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__("LSTM", *args, **kwargs)

    def _sizes(self) -> list[int]:
        return [self.proj_size or self.hidden_size, self.hidden_size]

    def _step(self, fed: Any, state: list[Any], weights: list[Any]) -> list[Any]:
        gates = fed + F.linear(state[0], weights[1], weights[3] if self.bias else None)
        h, c = lstm_cell(gates, state[1])
        return [F.linear(h, weights[-1]) if self.proj_size else h, c]
