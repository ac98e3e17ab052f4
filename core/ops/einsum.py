"""Einstein's summation, by pairs of operands, each pair as one batched product of matrices."""

from __future__ import annotations

import math
import string
from typing import Any

from core.ops.elementwise import mul
from core.ops.linalg import check_pair, matrix_product
from core.ops.parts import diagonal
from core.ops.reduce import sum as sum_over
from core.ops.shape import permute_axes, reshape_array

__all__ = ["einsum"]

LETTERS = string.ascii_uppercase + string.ascii_lowercase


class Term:
    """An operand and the label of each of its dims; negative labels stand for the ellipsis."""

    def __init__(self, x: Any, labels: list[int]) -> None:
        self.x = x
        self.labels = labels

    @property
    def sizes(self) -> dict[int, int]:
        """The size behind each label."""
        return dict(zip(self.labels, self.x.array.shape, strict=True))


def einsum(equation: Any, *operands: Any) -> Any:
    """The sum over products of elements that an equation like "bij,bjk->bik" names.

    Also with lists of labels: einsum(x, [0, 1], y, [1, 2], [0, 2]).
    Raises: RuntimeError where the equation does not fit the operands.
    """
    if not isinstance(equation, str):
        equation, operands = _written_out(equation, *operands)
    elif len(operands) == 1 and isinstance(operands[0], (list, tuple)):
        operands = tuple(operands[0])
    inputs, _, output = equation.replace(" ", "").partition("->")
    subscripts = inputs.split(",")
    if len(subscripts) != len(operands):
        raise RuntimeError(
            f"einsum(): the number of operands {len(operands)} does not match the number of"
            f" subscripts in the equation {len(subscripts)}"
        )
    terms = [_term(text, x) for text, x in zip(subscripts, operands, strict=True)]
    wanted = _output(output, terms) if "->" in equation else _implicit(terms, subscripts)
    _check_sizes(terms)
    return _contracted([_without_repeats(term) for term in terms], wanted)


def _written_out(*args: Any) -> tuple[str, tuple[Any, ...]]:
    """The equation of the form with lists of labels."""
    pairs = len(args) // 2
    text = ",".join(map(_letters, args[1 : 2 * pairs : 2]))
    if len(args) % 2:
        text += "->" + _letters(args[-1])
    return text, args[0 : 2 * pairs : 2]


def _letters(labels: Any) -> str:
    out = []
    for label in labels:
        if label is not Ellipsis and not 0 <= label < 52:
            raise RuntimeError(f"einsum(): subscript {label} is not within the valid range [0, 52)")
        out.append("..." if label is Ellipsis else LETTERS[label])
    return "".join(out)


# ---- labels -----------------------------------------------------------------------------------


def _term(text: str, x: Any) -> Term:
    """An operand with its labels."""
    before, dots, after = text.partition("...")
    names = before + after
    ndim = x.array.ndim
    if any(c not in LETTERS for c in names):
        bad = next(c for c in names if c not in LETTERS)
        raise RuntimeError(
            f"einsum(): invalid subscript given at index 0 in the equation string, subscripts must"
            f" be in [a-zA-Z], got {bad!r}"
        )
    rest = ndim - len(names)
    if rest < 0 or (rest and not dots):
        raise RuntimeError(
            f"einsum(): the number of subscripts in the equation ({len(names)}) does not match the"
            f" number of dimensions ({ndim}) for an operand"
        )
    hidden = list(range(-rest, 0))
    return Term(x, [*map(LETTERS.index, before), *hidden, *map(LETTERS.index, after)])


def _hidden(terms: list[Term]) -> list[int]:
    """The labels of the ellipsis, in order."""
    return list(range(min((label for t in terms for label in t.labels), default=0), 0))


def _output(text: str, terms: list[Term]) -> list[int]:
    before, dots, after = text.partition("...")
    labels = [LETTERS.find(c) for c in before] + (_hidden(terms) if dots else [])
    labels += [LETTERS.find(c) for c in after]
    known = [label for t in terms for label in t.labels]
    for label in labels:
        if label not in known:
            raise RuntimeError(
                f"einsum(): output subscript in {text!r} does not appear in the equation for any"
                " input operand"
            )
        if labels.count(label) > 1:
            raise RuntimeError(
                f"einsum(): output subscript {LETTERS[label]} appears more than once in the output"
            )
    return labels


def _implicit(terms: list[Term], subscripts: list[str]) -> list[int]:
    """The output where none is written: the ellipsis, then labels that appear once, as letters."""
    names = "".join(subscripts).replace(".", "")
    return _hidden(terms) + [LETTERS.index(c) for c in sorted(names) if names.count(c) == 1]


def _check_sizes(terms: list[Term]) -> None:
    sizes: dict[int, int] = {}
    for t in terms:
        for label, n in zip(t.labels, t.x.array.shape, strict=True):
            known = sizes.setdefault(label, n)
            if n != known and n != 1 and known != 1:
                raise RuntimeError(
                    "einsum(): operands do not broadcast with remapped shapes: a subscript has"
                    f" sizes {known} and {n}"
                )
            sizes[label] = max(known, n) if known and n else (0 if 0 in (known, n) else n)


def _without_repeats(t: Term) -> Term:
    """The operand with diagonals taken where it has a label twice."""
    labels, x = list(t.labels), t.x
    for label in list(dict.fromkeys(labels)):
        while labels.count(label) > 1:
            i = labels.index(label)
            j = labels.index(label, i + 1)
            if x.array.shape[i] != x.array.shape[j]:
                raise RuntimeError(
                    f"einsum(): subscript {LETTERS[label]} is repeated for an operand but the sizes"
                    f" don't match, {x.array.shape[j]} != {x.array.shape[i]}"
                )
            x = diagonal(x, 0, i, j)
            labels = [m for k, m in enumerate(labels) if k not in (i, j)] + [label]
    return Term(x, labels)


# ---- contraction ------------------------------------------------------------------------------


def _contracted(terms: list[Term], wanted: list[int]) -> Any:
    while len(terms) > 1:
        first, second, *rest = terms
        needed = dict.fromkeys(wanted + [label for t in rest for label in t.labels])
        terms = [_pair(first, second, needed), *rest]
    last = _summed(terms[0], dict.fromkeys(wanted))
    axes = tuple(last.labels.index(label) for label in wanted)
    return permute_axes(last.x, axes)


def _summed(t: Term, needed: dict[int, None]) -> Term:
    """The operand summed over the dims whose labels nobody needs."""
    axes = [i for i, label in enumerate(t.labels) if label not in needed]
    if not axes:
        return t
    return Term(sum_over(t.x, tuple(axes)), [label for label in t.labels if label in needed])


def _pair(a: Term, b: Term, needed: dict[int, None]) -> Term:
    """The product of two operands, summed over the labels that nobody else needs."""
    a, b = _narrowed(a, b), _narrowed(b, a)
    a = _summed(a, dict.fromkeys([*needed, *b.labels]))
    b = _summed(b, dict.fromkeys([*needed, *a.labels]))
    both = [label for label in a.labels if label in b.labels]
    batch = [label for label in both if label in needed]
    summed = [label for label in both if label not in needed]
    left = [label for label in a.labels if label not in b.labels]
    right = [label for label in b.labels if label not in a.labels]
    sizes = a.sizes | b.sizes
    labels = [*batch, *left, *right]
    if not summed:
        x = _aligned(a, [*batch, *left, *[None] * len(right)])
        y = _aligned(b, [*batch, *[None] * len(left), *right])
        return Term(mul(x, y), labels)
    check_pair(a.x, b.x)
    count = [math.prod(sizes[label] for label in group) for group in (batch, left, summed, right)]
    x = _grouped(a, [*batch, *left, *summed], (count[0], count[1], count[2]))
    y = _grouped(b, [*batch, *summed, *right], (count[0], count[2], count[3]))
    product = matrix_product(x, y)
    return Term(reshape_array(product, tuple(sizes[label] for label in labels)), labels)


def _narrowed(a: Term, b: Term) -> Term:
    """`a` without the dims of size one that `b` has in another size."""
    other = b.sizes
    kept = [
        i for i, label in enumerate(a.labels) if a.x.array.shape[i] != 1 or other.get(label, 1) == 1
    ]
    if len(kept) == len(a.labels):
        return a
    shape = tuple(a.x.array.shape[i] for i in kept)
    return Term(reshape_array(a.x, shape), [a.labels[i] for i in kept])


def _aligned(t: Term, order: list[Any]) -> Any:
    """The operand with its dims in an order, ones where the order has None."""
    x = permute_axes(t.x, tuple(t.labels.index(label) for label in order if label is not None))
    sizes = t.sizes
    return reshape_array(x, tuple(1 if label is None else sizes[label] for label in order))


def _grouped(t: Term, order: list[int], shape: tuple[int, ...]) -> Any:
    x = permute_axes(t.x, tuple(t.labels.index(label) for label in order))
    return reshape_array(x, shape)
