"""Tables of vectors, read at indices."""

from __future__ import annotations

from typing import Any

import core.nn.functional as F
from core.backend import write
from core.nn.init import normal_
from core.nn.module import Module
from core.nn.parameter import Parameter
from core.ops.creation import empty


def _padding(padding_idx: int | None, count: int) -> int | None:
    """`padding_idx` counted from the start.

    Raises: AssertionError out of range.
    """
    if padding_idx is not None and not -count <= padding_idx < count:
        raise AssertionError("Padding_idx must be within num_embeddings")
    return padding_idx if padding_idx is None else padding_idx % count


def _sizes(embeddings: Any) -> Any:
    if len(embeddings.shape) != 2:
        raise AssertionError("Embeddings parameter is expected to be 2-dimensional")
    return embeddings.shape


class _Table(Module):
    """What the embeddings share: a matrix with one row per index."""

    num_embeddings: int
    embedding_dim: int
    padding_idx: int | None

    def _make(self, weight: Any, device: Any, dtype: Any, freeze: bool = False) -> None:
        shape = (self.num_embeddings, self.embedding_dim)
        if weight is None:
            self.weight = Parameter(empty(shape, device=device, dtype=dtype), not freeze)
            self.reset_parameters()
        elif tuple(weight.shape) != shape:
            raise AssertionError("Shape of weight does not match num_embeddings and embedding_dim")
        else:
            self.weight = Parameter(weight, not freeze)

    def reset_parameters(self) -> None:
        """Draw new vectors from the normal distribution; zeros for the padding."""
        normal_(self.weight)
        if self.padding_idx is not None:
            write(self.weight.array[self.padding_idx], 0)


class Embedding(_Table):
    """A table of vectors.

    Shape: indices (*) -> (*, embedding_dim).
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        _weight: Any = None,
        _freeze: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.padding_idx = _padding(padding_idx, num_embeddings)
        self.max_norm = max_norm
        self.norm_type = norm_type
        self.scale_grad_by_freq = scale_grad_by_freq
        self.sparse = sparse
        self._make(_weight, device, dtype, _freeze)

    def forward(self, input: Any) -> Any:
        """The vectors at the indices."""
        return F.embedding(
            input,
            self.weight,
            self.padding_idx,
            self.max_norm,
            self.norm_type,
            self.scale_grad_by_freq,
            self.sparse,
        )

    def extra_repr(self) -> str:
        """Sizes, and settings that are not the default."""
        text = f"{self.num_embeddings}, {self.embedding_dim}"
        defaults = {
            "padding_idx": None, "max_norm": None, "norm_type": 2,
            "scale_grad_by_freq": False,
        }  # fmt: skip
        for name, default in defaults.items():
            if getattr(self, name) != default:
                text += f", {name}={getattr(self, name)}"
        return text + (", sparse=True" if self.sparse else "")

    @classmethod
    def from_pretrained(
        cls, embeddings: Any, freeze: bool = True, padding_idx: int | None = None, **kwargs: Any
    ) -> Embedding:
        """A table of the given vectors, which are not trained unless `freeze` is false."""
        rows, width = _sizes(embeddings)
        return cls(rows, width, padding_idx, _weight=embeddings, _freeze=freeze, **kwargs)


class EmbeddingBag(_Table):
    """The sum, mean or largest of the vectors of each bag of indices."""

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        _weight: Any = None,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.max_norm = max_norm
        self.norm_type = norm_type
        self.scale_grad_by_freq = scale_grad_by_freq
        self.padding_idx = _padding(padding_idx, num_embeddings)
        self.mode = mode
        self.sparse = sparse
        self.include_last_offset = include_last_offset
        self._make(_weight, device, dtype)

    def forward(self, input: Any, offsets: Any = None, per_sample_weights: Any = None) -> Any:
        """One vector per bag: per row of a matrix of indices, or per offset into a vector."""
        return F.embedding_bag(
            input,
            self.weight,
            offsets,
            self.max_norm,
            self.norm_type,
            self.scale_grad_by_freq,
            self.mode,
            self.sparse,
            per_sample_weights,
            self.include_last_offset,
            self.padding_idx,
        )

    def extra_repr(self) -> str:
        """Sizes, and settings that are not the default."""
        text = f"{self.num_embeddings}, {self.embedding_dim}"
        defaults = {"max_norm": None, "norm_type": 2, "scale_grad_by_freq": False}
        for name, default in defaults.items():
            if getattr(self, name) != default:
                text += f", {name}={getattr(self, name)}"
        text += f", mode={self.mode!r}"
        return text if self.padding_idx is None else f"{text}, padding_idx={self.padding_idx}"

    @classmethod
    def from_pretrained(cls, embeddings: Any, freeze: bool = True, **kwargs: Any) -> EmbeddingBag:
        """A table of the given vectors, which are not trained unless `freeze` is false."""
        rows, width = _sizes(embeddings)
        out = cls(rows, width, _weight=embeddings, **kwargs)
        out.weight.requires_grad_(not freeze)
        return out
