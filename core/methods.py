"""The method table: a method of Tensor is the op of the same name; `name_` is its in-place form."""

from __future__ import annotations

import functools
from typing import Any

from core import conversion, older
from core.autograd.inplace import in_place
from core.autograd.reform import reforming
from core.ops import (
    arrange,
    assign,
    bitwise,
    cast,
    choice,
    compare,
    conjugate,
    copies,
    creation,
    differences,
    division,
    elementwise,
    exponential,
    extreme,
    factors,
    gamma,
    gather,
    incomplete,
    index,
    linalg,
    masked,
    matrices,
    movement,
    parts,
    product,
    quantile,
    reduce,
    rounding,
    sampling,
    scan,
    scatter,
    scatter_reduce,
    shape,
    softmax,
    solve,
    sort,
    special,
    statistics,
    strided,
    triangle,
    trigonometric,
    unique,
    vector_norm,
)
from core.tensor import Tensor


def _operator(op: Any) -> Any:
    """The op as an operator: an operand of a type unknown to it is asked for its own."""
    form = getattr(op, "form", None)
    general = op if form is None else op.__wrapped__

    @functools.wraps(general)
    def modest(input: Any, other: Any, **kwargs: Any) -> Any:
        try:
            return general(input, other, **kwargs)
        except TypeError:
            if all(isinstance(x, (Tensor, int, float, complex)) for x in (input, other)):
                raise
            return NotImplemented

    return modest if form is None else form(modest)


def _reversed(op: Any) -> Any:
    def method(x: Any, other: Any) -> Any:
        return op(other, x)

    return method


# Per family: the methods that are its functions of that name, and those with a form `name_` that
# writes into the tensor itself.
FAMILIES: tuple[tuple[Any, str, str], ...] = (
    (softmax, "softmax log_softmax", ""),
    (
        elementwise,
        "add sub rsub mul pow neg abs sign sgn square reciprocal positive signbit float_power"
        " lerp addcmul addcdiv subtract multiply negative absolute",
        "add sub mul pow neg abs sign sgn square reciprocal float_power lerp addcmul addcdiv"
        " subtract multiply negative absolute",
    ),
    (
        division,
        "div divide true_divide floor_divide remainder fmod gcd lcm",
        "div divide true_divide floor_divide remainder fmod gcd lcm",
    ),
    (
        exponential,
        "exp exp2 expm1 log log2 log10 log1p sqrt rsqrt logaddexp logaddexp2 xlogy sigmoid logit"
        " ldexp",
        "exp exp2 expm1 log log2 log10 log1p sqrt rsqrt xlogy sigmoid logit ldexp",
    ),
    (
        trigonometric,
        "sin cos tan asin acos atan atan2 sinh cosh tanh asinh acosh atanh sinc hypot deg2rad"
        " rad2deg arcsin arccos arctan arctan2 arcsinh arccosh arctanh",
        "sin cos tan asin acos atan atan2 sinh cosh tanh asinh acosh atanh sinc hypot deg2rad"
        " rad2deg arcsin arccos arctan arctan2 arcsinh arccosh arctanh",
    ),
    (
        rounding,
        "floor ceil trunc fix round frac frexp copysign nextafter",
        "floor ceil trunc fix round frac copysign nextafter",
    ),
    (
        choice,
        "maximum minimum fmax fmin clamp clamp_min clamp_max clip relu nan_to_num heaviside",
        "clamp clamp_min clamp_max clip relu nan_to_num heaviside",
    ),
    (
        bitwise,
        "bitwise_and bitwise_or bitwise_xor bitwise_not bitwise_left_shift bitwise_right_shift"
        " logical_and logical_or logical_xor logical_not",
        "bitwise_and bitwise_or bitwise_xor bitwise_not bitwise_left_shift bitwise_right_shift"
        " logical_and logical_or logical_xor logical_not",
    ),
    (assign, "fill_ zero_ copy_", ""),
    (differences, "diff", ""),
    (
        compare,
        "eq ne lt le gt ge not_equal less less_equal greater greater_equal isnan isinf isfinite"
        " isposinf isneginf isreal isclose allclose equal isin",
        "eq ne lt le gt ge not_equal less less_equal greater greater_equal",
    ),
    (reduce, "sum nansum mean nanmean prod logsumexp all any count_nonzero sum_to_size", ""),
    (extreme, "max min amax amin aminmax argmax argmin", ""),
    (scan, "cumsum cumprod cummax cummin logcumsumexp", "cumsum cumprod"),
    (statistics, "var std median nanmedian mode cov corrcoef", ""),
    (quantile, "quantile nanquantile histc bincount histogram", ""),
    (sort, "sort argsort msort topk kthvalue", ""),
    (unique, "unique unique_consecutive", ""),
    (vector_norm, "norm dist renorm", "renorm"),
    (special, "erf erfc erfinv i0", "erf erfc erfinv i0"),
    (gamma, "lgamma digamma mvlgamma", "lgamma digamma mvlgamma"),
    (incomplete, "igamma igammac", "igamma igammac"),
    (factors, "lu_solve", ""),
    (solve, "pinverse", ""),
    (
        shape,
        "reshape reshape_as view_as ravel flatten squeeze unsqueeze permute transpose t expand"
        " expand_as broadcast_to",
        "",
    ),
    (arrange, "unflatten swapaxes swapdims adjoint movedim moveaxis", ""),
    (
        parts,
        "narrow select split split_with_sizes chunk unbind tensor_split hsplit vsplit dsplit"
        " diagonal unfold",
        "",
    ),
    (strided, "as_strided view resize_ resize_as_", ""),
    (movement, "roll flip fliplr flipud rot90 repeat tile repeat_interleave", ""),
    (
        triangle,
        "tril triu diag diag_embed diagflat diagonal_scatter trace fill_diagonal_",
        "tril triu",
    ),
    (index, "index_put", "index_put"),
    (
        gather,
        "gather index_select take take_along_dim masked_select nonzero argwhere nonzero_static",
        "",
    ),
    (
        scatter,
        "scatter scatter_add index_add index_copy index_fill",
        "scatter scatter_add index_add index_copy index_fill",
    ),
    (scatter_reduce, "scatter_reduce index_reduce", "scatter_reduce index_reduce"),
    (masked, "masked_fill masked_scatter put", "masked_fill masked_scatter put"),
    (creation, "new_tensor new_zeros new_ones new_empty new_full new_empty_strided", ""),
    (
        sampling,
        "bernoulli multinomial uniform_ normal_ exponential_ bernoulli_ random_ cauchy_ geometric_"
        " log_normal_",
        "",
    ),
    (linalg, "matmul mm bmm mv dot vdot inner", ""),
    (
        product,
        "addmm baddbmm addbmm addmv addr outer ger kron cross",
        "addmm baddbmm addbmm addmv addr",
    ),
    (
        matrices,
        "inverse det slogdet logdet cholesky cholesky_inverse cholesky_solve matrix_power"
        " svd qr matrix_exp",
        "",
    ),
    (cast, "clone contiguous", ""),
    (
        conjugate,
        "angle conj conj_physical is_conj is_neg resolve_conj resolve_neg",
        "conj_physical",
    ),
    (
        copies,
        "as_strided_scatter narrow_copy select_scatter slice_scatter unsafe_chunk unsafe_split"
        " unsafe_split_with_sizes",
        "",
    ),
)
_plus, _minus, _mul = map(_operator, (elementwise.plus, elementwise.minus, elementwise.mul))
_quotient, _pow = _operator(division.quotient), _operator(elementwise.pow)
_floor_divide, _remainder = _operator(division.floor_divide), _operator(division.remainder)
_and, _or, _xor, _left, _right = map(_operator, (
    bitwise.bitwise_and, bitwise.bitwise_or, bitwise.bitwise_xor,
    bitwise.bitwise_left_shift, bitwise.bitwise_right_shift,
))  # fmt: skip
OPERATORS: dict[str, Any] = {
    "__add__": _plus, "__radd__": _plus, "__sub__": _minus,
    "__rsub__": _reversed(_minus), "__mul__": _mul,
    "__rmul__": _mul, "__truediv__": _quotient,
    "__rtruediv__": _reversed(_quotient), "__rdiv__": _reversed(_quotient), "__pow__": _pow,
    "__rpow__": _reversed(_pow), "__neg__": elementwise.neg, "__abs__": elementwise.abs,
    "__matmul__": linalg.matmul, "__rmatmul__": _reversed(linalg.matmul),
    "__floordiv__": _floor_divide, "__rfloordiv__": _reversed(_floor_divide),
    "__mod__": _remainder, "__rmod__": _reversed(_remainder),
    "__pos__": elementwise.positive, "__invert__": bitwise.inverted,
    "__and__": _and, "__rand__": _and,
    "__or__": _or, "__ror__": _or,
    "__xor__": _xor, "__rxor__": _xor,
    "__lshift__": _left, "__rshift__": _right,
    "__rlshift__": _reversed(_left),
    "__rrshift__": _reversed(_right),
    "where": choice.where_method, "polygamma": gamma.polygamma_method,
    "__getitem__": index.getitem, "__setitem__": index.setitem,
}  # fmt: skip
OPERATORS |= {
    f"__{name}__": _operator(getattr(compare, name)) for name in "eq ne lt le gt ge".split()
}
IN_PLACE_OPERATORS: dict[str, Any] = {
    "__iadd__": elementwise.plus, "__isub__": elementwise.minus, "__imul__": elementwise.mul,
    "__itruediv__": division.quotient, "__ipow__": elementwise.pow,
    "__ifloordiv__": division.floor_divide, "__imod__": division.remainder,
    "__iand__": bitwise.bitwise_and, "__ior__": bitwise.bitwise_or,
    "__ixor__": bitwise.bitwise_xor, "__ilshift__": bitwise.bitwise_left_shift,
    "__irshift__": bitwise.bitwise_right_shift, "polygamma_": gamma.polygamma_method,
}  # fmt: skip
REFORMED: dict[str, Any] = {
    "squeeze_": reforming(shape.squeeze, 3), "unsqueeze_": reforming(shape.unsqueeze),
    "t_": reforming(shape.t), "transpose_": reforming(shape.transpose),
    "swapaxes_": reforming(arrange.swapaxes), "swapdims_": reforming(arrange.swapdims),
    "as_strided_": reforming(strided.as_strided),
}  # fmt: skip
PROPERTIES: dict[str, Any] = {
    "T": arrange.mirrored,
    "mT": arrange.matrix_transposed,
    "mH": arrange.matrix_transposed,
    "H": arrange.hermitian,
    "real": arrange.real,
    "imag": conjugate.imag,
}


def install() -> None:
    """Give Tensor its methods and operators."""
    for module, names, written in FAMILIES:
        for name in names.split():
            setattr(Tensor, name, getattr(module, name))
        for name in written.split():
            setattr(Tensor, f"{name}_", in_place(getattr(module, name)))
    for name, function in (OPERATORS | REFORMED | conversion.METHODS | older.METHODS).items():
        setattr(Tensor, name, function)
    for name, function in IN_PLACE_OPERATORS.items():
        setattr(Tensor, name, in_place(function))
    for name, function in PROPERTIES.items():
        setattr(Tensor, name, property(function))


install()
