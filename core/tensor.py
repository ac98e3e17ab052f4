"""class Tensor: an array that knows its gradient. The methods that are ops stand in the method table."""

from __future__ import annotations

import copy
import weakref
from collections.abc import Iterator
from typing import Any

import numpy

from core import printing
from core.autograd import sweep
from core.autograd.value import (
    Kind,
    RemovableHandle,
    Value,
    add_hook,
    leaf_of,
    version_of,
    wrap,
)
from core.backend import Device, device_of, to_host
from core.dtype import dtype, get_default_dtype, of
from core.ops import cast
from core.ops.creation import empty, host_array, ones_like
from core.ops.dims import axis_of


class Size(tuple[int, ...]):
    """The shape of a tensor: a tuple that prints as PyTorch's.

    Example:
        >>> Size([2, 3]), Size([2, 3]).numel()
        (core.Size([2, 3]), 6)
    """

    __slots__ = ()

    def numel(self) -> int:
        """The number of elements."""
        count = 1
        for n in self:
            count *= n
        return count

    def __repr__(self) -> str:
        return f"core.Size([{', '.join(map(str, self))}])"

    def __getitem__(self, key: Any) -> Any:
        found = tuple.__getitem__(self, key)
        return Size(found) if isinstance(key, slice) else found

    def __add__(self, other: Any) -> Size:
        return Size(tuple.__add__(self, tuple(other)))


class Tensor(Value):
    """A multi-dimensional array with a gradient: `Tensor(2, 3)`, `Tensor([1., 2.])`.

    Its memory is `array`, a NumPy or CuPy array that may be read and, at one's own risk, written.
    """

    __slots__ = ("__dict__",)
    __array_priority__ = 1000
    __hash__ = object.__hash__

    def __new__(cls, *size: Any, device: Any = None) -> Any:
        """A tensor of the default floating type: of the given sizes, or of the given data."""
        self = object.__new__(cls)
        self.array = _legacy(size, device)
        self.node = None
        self.needs_grad = False
        self.version = self.base = self.leaf = None
        return self

    # ---- what it is ----

    @property
    def shape(self) -> Size:
        """The sizes of the dims."""
        return Size(self.array.shape)

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
        step = self.array.itemsize
        strides = tuple(s // step for s in self.array.strides)
        return strides if dim is None else strides[axis_of(dim, self.ndim)]

    def is_contiguous(self, memory_format: Any = None) -> bool:
        """Whether the elements lie in row-major order without gaps."""
        return bool(self.array.flags.c_contiguous)

    def is_floating_point(self) -> bool:
        """Whether the elements are floating-point numbers."""
        return self.dtype.is_floating_point

    def get_device(self) -> int:
        """The index of the GPU; -1 on the CPU."""
        return -1 if self.device.index is None else self.device.index

    # ---- values out ----

    def item(self) -> Any:
        """The one element as a Python number.

        Raises: RuntimeError if there is not exactly one.
        """
        if self.array.size != 1:
            raise RuntimeError(
                f"a Tensor with {self.array.size} elements cannot be converted to Scalar"
            )
        value = to_host(self.array).reshape(())
        return float(value) if value.dtype.kind == "V" else value.item()

    def tolist(self) -> Any:
        """The elements as nested lists of Python numbers."""
        array = to_host(self.array)
        return (array.astype(numpy.float32) if array.dtype.kind == "V" else array).tolist()

    def numpy(self, *, force: bool = False) -> numpy.ndarray:
        """The memory as a NumPy array.

        Raises: RuntimeError if it requires grad; TypeError if it is on a GPU.
        """
        if force:
            return to_host(self.array)
        if self.requires_grad:
            raise RuntimeError(
                "Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy()"
                " instead."
            )
        if self.is_cuda:
            raise TypeError(
                f"can't convert {self.device} device type tensor to numpy. Use Tensor.cpu() to copy"
                " the tensor to host memory first."
            )
        return self.array

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> numpy.ndarray:
        return numpy.array(self.numpy(), dtype=dtype, copy=copy)

    def __bool__(self) -> bool:
        if self.array.size != 1:
            many = "with more than one value" if self.array.size else "with no values"
            raise RuntimeError(f"Boolean value of Tensor {many} is ambiguous")
        return bool(self.item())

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        if self.array.size != 1 or self.array.dtype.kind not in "iub":
            raise TypeError("only integer tensors of a single element can be converted to an index")
        return int(self.item())

    def __len__(self) -> int:
        if not self.array.ndim:
            raise TypeError("len() of a 0-d tensor")
        return self.array.shape[0]

    def __iter__(self) -> Iterator[Any]:
        if not self.array.ndim:
            raise TypeError("iteration over a 0-d tensor")
        return (self[i] for i in range(len(self)))

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        return printing.tensor_text(self)

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if self.ndim == 0 else object.__format__(self, spec)

    def __reduce__(self) -> Any:
        return _restored, (to_host(self.array), str(self.device), self.requires_grad, type(self))

    def __deepcopy__(self, memo: Any) -> Any:
        if self.node is not None:
            raise RuntimeError(
                "Only Tensors created explicitly by the user (graph leaves) support the deepcopy"
                " protocol at the moment."
            )
        out = type(self).__new__(type(self), 0)
        memo[id(self)] = out
        out.array = self.array.copy()
        out.needs_grad = self.needs_grad
        if self.grad is not None:
            out.grad = copy.deepcopy(self.grad, memo)
        out.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return out

    # ---- where it stands in the graph ----

    @property
    def requires_grad(self) -> bool:
        """Whether gradients are computed for this tensor."""
        return sweep.source_of(self) is not self or self.needs_grad

    @requires_grad.setter
    def requires_grad(self, on: bool) -> None:
        self.requires_grad_(on)

    def requires_grad_(self, requires_grad: bool = True) -> Any:
        """Start or stop recording ops on this leaf; the tensor itself.

        Raises: RuntimeError for a tensor that is no leaf, or of integers.
        """
        if self.node is not None:
            if not requires_grad:
                raise RuntimeError(
                    "you can only change requires_grad flags of leaf variables. If you want to use"
                    " a computed variable in a subgraph that doesn't require differentiation use"
                    " var_no_grad = var.detach()."
                )
            return self
        if requires_grad and not self.dtype.is_floating_point:
            raise RuntimeError("only Tensors of floating point dtype can require gradients")
        self.needs_grad = bool(requires_grad)
        return self

    @property
    def is_leaf(self) -> bool:
        """Whether no recorded op made this tensor."""
        return sweep.source_of(self) is self

    @property
    def grad_fn(self) -> Any:
        """The node of the op that made this tensor; None for a leaf."""
        source = sweep.source_of(self)
        if source is self:
            return None
        return source.edges[0] if source.plan.op is None else source

    @property
    def grad(self) -> Any:
        """The gradient gathered so far; None before the first."""
        return None if self.leaf is None else self.leaf.gradient

    @grad.setter
    def grad(self, g: Any) -> None:
        if g is not None:
            _check_grad(self, g)
        leaf_of(self).gradient = g

    @grad.deleter
    def grad(self) -> None:
        leaf_of(self).gradient = None

    @property
    def data(self) -> Any:
        """A tensor of the same memory that the graph does not know and no version counts."""
        return wrap(self.array)

    @data.setter
    def data(self, other: Any) -> None:
        if type(other.array) is not type(self.array) and self.leaf is not None:
            self.leaf.gradient = None
        self.array = other.array

    @property
    def output_nr(self) -> int:
        """Which output of its op this is."""
        source = sweep.source_of(self)
        return source.saved if source is not self and source.plan.op is None else 0

    @property
    def _version(self) -> int:
        return version_of(self)[0]

    @property
    def _base(self) -> Any:
        return None if self.base is None else self.base.root

    def _is_view(self) -> bool:
        return self.base is not None

    def detach(self) -> Any:
        """A tensor of the same memory that the graph does not know."""
        return cast.detach(self)

    def detach_(self) -> Any:
        """This tensor, cut from the graph.

        Raises: RuntimeError for a view.
        """
        if self.base is not None:
            raise RuntimeError("Can't detach views in-place. Use detach() instead.")
        self.node, self.needs_grad = None, False
        return self

    def backward(
        self,
        gradient: Any = None,
        retain_graph: bool | None = None,
        create_graph: bool = False,
        inputs: Any = None,
    ) -> None:
        """Add d self / d leaf to `.grad` of every leaf this tensor depends on (or of `inputs`).

        Raises: RuntimeError without a gradient unless this is one number, or if nothing requires it.
        """
        if inputs is not None and isinstance(inputs, Value):
            inputs = (inputs,)
        sweep.backward(
            [self],
            [seed_gradient(self, gradient)],
            retain_graph=create_graph if retain_graph is None else retain_graph,
            create_graph=create_graph,
            inputs=inputs,
        )

    def register_hook(self, hook: Any) -> RemovableHandle:
        """A handle of `hook(g)`, run on this tensor's gradient; it may return another one.

        Raises: RuntimeError if the tensor does not require grad.
        """
        if not self.requires_grad:
            raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
        if self.node is not None:
            return add_hook(self.node, hook)
        return RemovableHandle(leaf_of(self).before, hook)

    def register_post_accumulate_grad_hook(self, hook: Any) -> RemovableHandle:
        """A handle of `hook(self)`, run after this leaf's `.grad` has grown.

        Raises: RuntimeError if this is no leaf, or does not require grad.
        """
        if not self.requires_grad:
            raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
        if self.node is not None:
            raise RuntimeError(
                "post accumulate grad hooks cannot be registered on non-leaf tensors"
            )
        return RemovableHandle(leaf_of(self).after, hook)

    def retain_grad(self) -> None:
        """Keep this non-leaf's gradient in `.grad` during backward.

        Raises: RuntimeError if it does not require grad.
        """
        if not self.requires_grad:
            raise RuntimeError("can't retain_grad on Tensor that has requires_grad=False")
        if self.node is not None and not self.retains_grad:
            add_hook(self.node, _Keeper(self))
            self.__dict__["retains_grad"] = True

    @property
    def retains_grad(self) -> bool:
        """Whether a non-leaf keeps its gradient."""
        return bool(self.__dict__.get("retains_grad", False))


def seed_gradient(root: Any, gradient: Any) -> Any:
    """The gradient to start from at `root`; one where it is a single number.

    Raises: RuntimeError where it is missing, or its shape differs.
    """
    if not root.requires_grad:
        raise RuntimeError("element 0 of tensors does not require grad and does not have a grad_fn")
    if gradient is None:
        if root.array.size != 1:
            raise RuntimeError("grad can be implicitly created only for scalar outputs")
        return ones_like(root)
    if gradient.array.shape != root.array.shape:
        raise RuntimeError(
            f"Mismatch in shape: grad_output[0] has a shape of {gradient.shape} and output[0] has"
            f" a shape of {root.shape}."
        )
    return gradient


def _check_grad(x: Tensor, g: Any) -> None:
    if not isinstance(g, Value):
        raise TypeError(f"assigned grad expected to be a Tensor or None but got {type(g).__name__}")
    if g.array.shape != x.array.shape:
        raise RuntimeError(
            f"assigned grad has data of a different size: expected {list(x.array.shape)}, got"
            f" {list(g.array.shape)}"
        )
    if g.array.dtype != x.array.dtype:
        raise RuntimeError(
            f"assigned grad has data of a different type: expected {x.dtype}, got"
            f" {of(g.array.dtype)}"
        )


def _legacy(size: tuple[Any, ...], device: Any) -> Any:
    """The array of Tensor(2, 3), Tensor([1, 2]) or Tensor()."""
    if len(size) == 1 and not isinstance(size[0], (int, numpy.integer)):
        if isinstance(size[0], Size):
            return empty(size[0], device=device).array
        data = size[0].array if isinstance(size[0], Value) else size[0]
        return host_array(data, get_default_dtype().numpy)
    return empty(size or (0,), device=device).array


def _restored(array: numpy.ndarray, device: str, requires_grad: bool, kind: type) -> Any:
    out = wrap(array)
    out = out.to(device) if device != "cpu" else out
    out.needs_grad = requires_grad
    return out


class _Keeper:
    """A hook that keeps a non-leaf's gradient, without keeping the tensor."""

    def __init__(self, x: Tensor) -> None:
        self.x = weakref.ref(x)

    def __call__(self, g: Any) -> None:
        x = self.x()
        if x is not None:
            leaf_of(x).gradient = g.clone() if x.grad is None else x.grad + g


Kind.of_results = Tensor
