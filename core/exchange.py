"""How tensors meet the rest of Python: numbers, NumPy, DLPack, CUDA arrays, copies and pickles."""

from __future__ import annotations

import copy
from typing import Any

import numpy

from core.autograd.differentiable import Differentiable
from core.autograd.value import wrap
from core.backend import (
    Device,
    address,
    cuda_module,
    device_of,
    offset_of,
    on,
    owner,
    resolve,
    strided,
    to_host,
)
from core.dtype import known
from core.ops import cast

__all__ = ["from_dlpack"]
_CPU, _CUDA = 1, 2  # DLPack's device types


class Exchange(Differentiable):
    """The part of Tensor that gives its values to others."""

    __slots__ = ()

    # ---- Python's numbers ----

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

    def __bool__(self) -> bool:
        if self.array.size != 1:
            many = "with more than one value" if self.array.size else "with no values"
            raise RuntimeError(f"Boolean value of Tensor {many} is ambiguous")
        return bool(self.item())

    def __float__(self) -> float:
        return float(_single(self))

    def __int__(self) -> int:
        return int(_single(self))

    def __complex__(self) -> complex:
        return complex(_single(self))

    def __index__(self) -> int:
        if self.array.size != 1 or self.array.dtype.kind not in "iub":
            raise TypeError("only integer tensors of a single element can be converted to an index")
        return int(self.item())

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if self.array.ndim == 0 else object.__format__(self, spec)

    # ---- other libraries' arrays ----

    def numpy(self, *, force: bool = False) -> numpy.ndarray:
        """The memory as a NumPy array; with `force`, a copy where it cannot be shared.

        Raises: RuntimeError if it requires grad; TypeError if it is on a GPU.
        """
        if force:
            return to_host(self.array)
        if self.requires_grad:
            raise RuntimeError(
                "Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy()"
                " instead."
            )
        where = device_of(self.array)
        if where.type != "cpu":
            raise TypeError(
                f"can't convert {where} device type tensor to numpy. Use Tensor.cpu() to copy the"
                " tensor to host memory first."
            )
        return self.array

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return numpy.array(self.numpy(), dtype=dtype, copy=copy)

    def __array_wrap__(self, array: Any, context: Any = None, return_scalar: bool = False) -> Any:
        array = numpy.asarray(array)
        return wrap(array.astype(numpy.uint8) if array.dtype == bool else array)

    def __dlpack__(
        self,
        *,
        stream: Any = None,
        max_version: Any = None,
        dl_device: Any = None,
        copy: bool | None = None,
    ) -> Any:
        if self.requires_grad:
            raise BufferError("Can't export tensors that require gradient, use tensor.detach()")
        if type(self.array) is not numpy.ndarray:
            return self.array.__dlpack__(stream=stream)
        if self.array.dtype.kind == "V":
            raise BufferError("NumPy gives bfloat16 to nobody: convert the tensor with .float()")
        return self.array.__dlpack__(max_version=max_version, dl_device=dl_device, copy=copy)

    def __dlpack_device__(self) -> tuple[int, int]:
        where = device_of(self.array)
        return (_CPU, 0) if where.type == "cpu" else (_CUDA, where.index or 0)

    @property
    def __cuda_array_interface__(self) -> Any:
        if device_of(self.array).type == "cpu":
            raise AttributeError(
                f"Can't get __cuda_array_interface__ on non-CUDA tensor type: {self.array.dtype}."
                " Use tensor.cuda() first."
            )
        if self.requires_grad:
            raise RuntimeError(
                "Can't get __cuda_array_interface__ on Variable that requires grad. If gradients"
                " aren't required, use var.detach() to get Variable that doesn't require grad."
            )
        return self.array.__cuda_array_interface__

    # ---- memory ----

    def data_ptr(self) -> int:
        """The address of the first element; 0 where there is none."""
        return address(self.array) if self.array.size else 0

    def storage_offset(self) -> int:
        """How many elements the first one lies after the start of the memory."""
        return offset_of(self.array) // self.array.itemsize if self.array.size else 0

    def untyped_storage(self) -> UntypedStorage:
        """The memory that this tensor and its views share, as bytes."""
        return UntypedStorage(owner(self.array))

    # ---- copies ----

    def __reduce__(self) -> Any:
        if self.node is not None:
            raise RuntimeError(
                "Cowardly refusing to serialize non-leaf tensor which requires_grad, since autograd"
                " does not support crossing process boundaries. If you just want to transfer the"
                " data, call detach() on the tensor before serializing (e.g., putting it on the"
                " queue)."
            )
        own = dict(self.__dict__) or None
        where = str(device_of(self.array))
        return restored, (type(self), to_host(self.array), where, self.needs_grad, own)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        if id(self) in memo:
            return memo[id(self)]
        if self.node is not None:
            raise RuntimeError(
                "Only Tensors created explicitly by the user (graph leaves) support the deepcopy"
                " protocol at the moment. If you were attempting to deepcopy a module, this may be"
                " because of a torch.nn.utils.weight_norm usage."
            )
        out = blank(type(self), _copied(self.array, memo), self.needs_grad)
        memo[id(self)] = out
        if self.leaf is not None and self.leaf.gradient is not None:
            out.grad = copy.deepcopy(self.leaf.gradient, memo)
        out.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return out

    def __copy__(self) -> Any:
        out = blank(type(self), self.array, self.needs_grad)
        out.__dict__.update(self.__dict__)
        return out


def _single(x: Any) -> Any:
    if x.array.size != 1:
        raise ValueError(
            "only one element tensors can be converted to Python scalars, but this one has"
            f" {x.array.size}"
        )
    return x.item()


def blank(kind: Any, array: Any, requires_grad: bool = False) -> Any:
    """A leaf of class `kind` around `array`, made without calling its constructor."""
    out = object.__new__(kind)
    out.array = array
    out.node = out.version = out.base = out.leaf = None
    out.needs_grad = requires_grad
    return out


def restored(
    kind: Any, array: numpy.ndarray, device: str, requires_grad: bool, own: dict[str, Any] | None
) -> Any:
    """The tensor that was pickled, on the device it came from."""
    where = resolve(device)
    if where.type != "cpu":
        array = cast.transfer(array, where, Device("cpu"))
    out = blank(kind, known(array), requires_grad)
    out.__dict__.update(own or {})
    return out


def _copied(array: Any, memo: dict[Any, Any]) -> Any:
    """`array` copied together with its memory, which several tensors in one deepcopy may share."""
    whole = owner(array)
    if whole is array or not whole.flags.forc:
        whole = array
    key = ("memory", id(whole))
    if key not in memo:
        with on(device_of(whole)):
            memo[key] = (whole.copy(order="K"), whole)
    copied = memo[key][0]
    return (
        copied if whole is array else strided(copied, array.shape, array.strides, offset_of(array))
    )


class UntypedStorage:
    """Memory that tensors share: its address and size."""

    def __init__(self, array: Any) -> None:
        self.array = array

    @property
    def device(self) -> Device:
        """Where the memory is."""
        return device_of(self.array)

    def data_ptr(self) -> int:
        """The address of the first byte."""
        return address(self.array) if self.array.size else 0

    def nbytes(self) -> int:
        """How many bytes there are."""
        return self.array.nbytes

    size = __len__ = nbytes

    def __eq__(self, other: object) -> bool:
        return isinstance(other, UntypedStorage) and other.array is self.array

    def __hash__(self) -> int:
        return id(self.array)


def from_dlpack(ext_tensor: Any) -> Any:
    """A tensor of the memory of any array that speaks DLPack.

    Raises: BufferError where its kind of memory or dtype cannot be shared.
    """
    kind, _ = ext_tensor.__dlpack_device__()
    module = numpy if int(kind) == _CPU else cuda_module()
    return wrap(module.from_dlpack(ext_tensor))
