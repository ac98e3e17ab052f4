"""Sequences of different lengths: packed without padding, padded, and back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy

from core.backend import to_host
from core.dtype import int64
from core.ops.creation import full, tensor
from core.ops.gather import index_select
from core.ops.join import cat, stack
from core.ops.pad import constant_pad_nd
from core.ops.shape import transpose


class PackedSequence(NamedTuple):
    """Sequences, longest first, step after step; `batch_sizes` tells how many go on at each."""

    data: Any
    batch_sizes: Any
    sorted_indices: Any = None
    unsorted_indices: Any = None

    @property
    def is_cuda(self) -> bool:
        """Whether the data is on a GPU."""
        return self.data.is_cuda

    def to(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """The same sequences with their data on another device or of another dtype."""
        return self._replace(data=self.data.to(*args, **kwargs))


def invert_permutation(permutation: Any) -> Any:
    """The permutation that undoes another one."""
    if permutation is None:
        return None
    return tensor(numpy.argsort(to_host(permutation.array)), device=permutation.device)


def pack_padded_sequence(
    input: Any, lengths: Any, batch_first: bool = False, enforce_sorted: bool = True
) -> PackedSequence:
    """Padded sequences without their padding.

    Raises: RuntimeError for lengths that are not sorted (unless that is allowed) or not positive.
    """
    sizes = numpy.asarray(_lengths(lengths), numpy.int64)
    order = None
    if not enforce_sorted:
        found = numpy.argsort(-sizes, kind="stable")
        order, sizes = tensor(found, device=input.device), sizes[found]
        input = index_select(input, 0 if batch_first else 1, order)
    elif (numpy.diff(sizes) > 0).any():
        raise RuntimeError(
            "`lengths` array must be sorted in decreasing order when `enforce_sorted` is True. You"
            " can pass `enforce_sorted=False` to pack_padded_sequence and/or pack_sequence to"
            " sidestep this requirement if you do not need ONNX exportability."
        )
    if not sizes.size or sizes[-1] <= 0:
        raise RuntimeError(
            "Length of all samples has to be greater than 0, but found an element in 'lengths' that"
            " is <= 0"
        )
    x = transpose(input, 0, 1) if batch_first else input
    if len(sizes) != x.shape[1]:
        raise RuntimeError(
            f"Expected `len(lengths)` to be equal to batch_size, but got {len(sizes)}"
            f" (batch_size={x.shape[1]})"
        )
    if sizes[0] > x.shape[0]:
        raise RuntimeError(
            f"Expected lengths of at most {x.shape[0]}, the steps of the input, but got {sizes[0]}"
        )
    counts = [int((sizes > t).sum()) for t in range(int(sizes[0]))]
    data = cat([x[t, :count] for t, count in enumerate(counts)])
    return PackedSequence(data, tensor(counts), order, invert_permutation(order))


def _lengths(lengths: Any) -> list[int]:
    return [int(n) for n in (lengths.tolist() if hasattr(lengths, "tolist") else lengths)]


def pad_packed_sequence(
    sequence: PackedSequence,
    batch_first: bool = False,
    padding_value: float = 0.0,
    total_length: int | None = None,
) -> tuple[Any, Any]:
    """Packed sequences padded to the longest (or `total_length`), and their lengths.

    Raises: ValueError where `total_length` is too short.
    """
    counts = sequence.batch_sizes.tolist()
    length = len(counts)
    if total_length is not None and total_length < length:
        raise ValueError(
            "Expected total_length to be at least the length of the longest sequence in input, but"
            f" got total_length={total_length} and max sequence length being {length}"
        )
    steps, start = [], 0
    for count in counts:
        step = sequence.data[start : start + count]
        widths = [0, 0] * (step.ndim - 1) + [0, counts[0] - count]
        steps.append(constant_pad_nd(step, widths, padding_value))
        start += count
    if total_length is not None:
        blank = full(tuple(steps[0].shape), padding_value, dtype=steps[0].dtype,
                     device=steps[0].device)  # fmt: skip
        steps += [blank] * (total_length - length)
    out = stack(steps, 1 if batch_first else 0)
    lengths = tensor([sum(count > i for count in counts) for i in range(counts[0])])
    order = sequence.unsorted_indices
    if order is None:
        return out, lengths
    return index_select(out, 0 if batch_first else 1, order), lengths[order.cpu()]


def pad_sequence(
    sequences: Any,
    batch_first: bool = False,
    padding_value: float = 0.0,
    padding_side: str = "right",
) -> Any:
    """Sequences of different lengths as one tensor, padded to the longest.

    Shape: (L_i, *) each -> (L, N, *), or (N, L, *) with `batch_first`.
    """
    if not isinstance(sequences, Iterable):
        raise RuntimeError(
            "pad_sequence: Expected iterable for input sequences, but got arg of type:"
            f" {type(sequences)}"
        )
    xs = list(sequences)
    if not xs:
        raise RuntimeError("received an empty list of sequences")
    longest = max(x.shape[0] for x in xs)
    padded = []
    for x in xs:
        gap = longest - x.shape[0]
        ends = [gap, 0] if padding_side == "left" else [0, gap]
        padded.append(constant_pad_nd(x, [0, 0] * (x.ndim - 1) + ends, padding_value))
    return stack(padded, 0 if batch_first else 1)


def pack_sequence(sequences: Any, enforce_sorted: bool = True) -> PackedSequence:
    """Sequences of different lengths, packed."""
    xs = list(sequences)
    lengths = tensor([x.shape[0] for x in xs], dtype=int64)
    return pack_padded_sequence(pad_sequence(xs), lengths, False, enforce_sorted)


def unpad_sequence(padded_sequences: Any, lengths: Any, batch_first: bool = False) -> list[Any]:
    """The sequences of a padded tensor, each in its own length."""
    x = padded_sequences if batch_first else transpose(padded_sequences, 0, 1)
    return [x[i, :n] for i, n in enumerate(_lengths(lengths))]


def unpack_sequence(packed_sequences: PackedSequence) -> list[Any]:
    """The sequences of a packed one, each in its own length."""
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)
