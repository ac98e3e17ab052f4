"""class Tensor: an array that knows its gradient. Its ops come from the method table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy

from core import printing
from core.autograd.value import Kind, Value, wrap
from core.backend import Device, device_of, resolve
from core.dtype import dtype, get_default_dtype, known, of
from core.exchange import Exchange
from core.layout import follows, steps_of, strided
from core.ops.creation import empty, host_array
from core.ops.dims import axis_of
from core.ops.parts import unbind
from core.size import Size

_sized = tuple.__new__  # the sizes of an array are plain ints: Size would look at each


class Tensor(Exchange):
    """A multi-dimensional array with a gradient: `Tensor(2, 3)`, `Tensor([1., 2.])`.

    Its memory is `array`, a NumPy or CuPy array that may be read and, at one's own risk, written.
    """

    __slots__ = ("__dict__",)
    __module__ = "core"  # where it is imported from, and what printing its type says
    __array_priority__ = 1000
    __hash__ = object.__hash__

    def __new__(cls, *size: Any, device: Any = None) -> Any:
        """A tensor of the default floating type: of the given sizes, or of the given data."""
        self = object.__new__(cls)
        self.array = legacy(size, device, get_default_dtype())
        self.node = None
        self.needs_grad = False
        self.version = self.base = self.leaf = None
        return self

    # ---- what it is ----

    @property
    def shape(self) -> Size:
        """The sizes of the dims."""
        return _sized(Size, self.array.shape)

    @property
    def dtype(self) -> dtype:
        """The element type."""
        return of(self.array.dtype)

    @property
    def device(self) -> Device:
        """Where the memory is."""
        return device_of(self.array)

    @property
    def ndim(self) -> int:
        """The number of dims."""
        return self.array.ndim

    @property
    def itemsize(self) -> int:
        """Bytes per element."""
        return self.array.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self.array.size * self.array.itemsize

    @property
    def is_cuda(self) -> bool:
        """Whether the memory is a GPU's."""
        return self.device.type == "cuda"

    @property
    def is_cpu(self) -> bool:
        """Whether the memory is the CPU's."""
        return self.device.type == "cpu"

    layout = strided
    is_sparse = is_sparse_csr = is_quantized = is_nested = is_mkldnn = False
    is_mps = is_meta = is_xpu = is_xla = is_mtia = is_ipu = is_maia = is_vulkan = False

    def size(self, dim: int | None = None) -> Any:
        """The shape, or one size of it."""
        return self.shape if dim is None else self.array.shape[axis_of(dim, self.ndim)]

    def dim(self) -> int:
        """The number of dims."""
        return self.array.ndim

    ndimension = dim

    def numel(self) -> int:
        """The number of elements."""
        return self.array.size

    nelement = numel

    def element_size(self) -> int:
        """Bytes per element."""
        return self.array.itemsize

    def stride(self, dim: int | None = None) -> Any:
        """How many elements lie between neighbours along each dim, or along one."""
        strides = steps_of(self.array)
        return strides if dim is None else strides[axis_of(dim, self.ndim)]

    def is_contiguous(self, memory_format: Any = None) -> bool:
        """Whether the elements lie in row-major order, or in a named one, without gaps."""
        return follows(self.array, memory_format)

    def is_floating_point(self) -> bool:
        """Whether the elements are floating-point numbers."""
        return self.dtype.is_floating_point

    def is_complex(self) -> bool:
        """Whether the elements are complex numbers: never."""
        return False

    def is_signed(self) -> bool:
        """Whether the elements can be negative."""
        return self.dtype.is_signed

    def get_device(self) -> int:
        """The index of the GPU; -1 on the CPU."""
        return -1 if self.device.index is None else self.device.index

    # ---- as a container ----

    def __len__(self) -> int:
        if not self.array.ndim:
            raise TypeError("len() of a 0-d tensor")
        return self.array.shape[0]

    def __iter__(self) -> Iterator[Any]:
        if not self.array.ndim:
            raise TypeError("iteration over a 0-d tensor")
        return iter(unbind(self))

    def __reversed__(self) -> Any:
        return self.flip(0) if self.array.ndim else self  # type: ignore[attr-defined]

    def __contains__(self, element: Any) -> bool:
        if not isinstance(element, (Value, int, float, numpy.number)):
            raise RuntimeError(
                "Tensor.__contains__ only supports Tensor or scalar, but you passed in a"
                f" {type(element)}."
            )
        equal: Any = self == element
        return bool(equal.array.any())

    def __repr__(self, *, tensor_contents: str | None = None) -> str:
        return printing.tensor_text(self, tensor_contents)

    def as_subclass(self, cls: type) -> Any:
        """The same memory and place in the graph, as an instance of a subclass."""
        out: Any = object.__new__(cls)
        for name in ("array", "node", "needs_grad", "version", "base", "leaf"):
            setattr(out, name, getattr(self, name))
        return out


def legacy(size: tuple[Any, ...], device: Any, d: dtype) -> Any:
    """The array of Tensor(2, 3), Tensor([1, 2]), Tensor(other) or Tensor().

    Raises: TypeError for what is neither sizes nor data; RuntimeError for a negative size.
    """
    if len(size) == 1 and not isinstance(size[0], (int, numpy.integer)):
        if isinstance(size[0], Value):
            return size[0].array
        if not isinstance(size[0], Size):
            return _of_data(size[0], device, d)
    for i, n in enumerate(size if len(size) > 1 else ()):
        if not isinstance(n, (int, numpy.integer)):
            kind = type(n).__name__
            raise TypeError(
                f"new(): argument 'size' failed to unpack the object at pos {i + 1} with error"
                f' "type must be tuple of ints, but got {kind}"'
            )
    sizes = (size[0] if isinstance(size[0], Size) else size) if size else (0,)
    if any(n < 0 for n in sizes):
        bad = next(n for n in sizes if n < 0)
        raise RuntimeError(f"Trying to create tensor with negative dimension {bad}: {list(sizes)}")
    return empty(*sizes, dtype=d, device=device).array


def _of_data(data: Any, device: Any, d: dtype) -> Any:
    if isinstance(data, str):
        raise TypeError("new(): invalid data type 'str'")
    if not hasattr(data, "__len__"):
        raise TypeError(f"new(): data must be a sequence (got {type(data).__name__})")
    array = known(host_array(data, d.numpy))
    where = resolve(device)
    return array if where.type == "cpu" else wrap(array).to(where).array


Kind.of_results = Tensor
