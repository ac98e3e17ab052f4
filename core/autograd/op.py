"""How an op is declared: a function of arrays, one gradient rule per argument, accelerations.

A rule is plain arithmetic that means the same on arrays and on tensors; the names of its parameters
are its save-list: `out`, an argument's name, `<argument>_shape`, and for a variadic argument `xs`
also `i` (which of them) and `xs_shapes`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from core.autograd.demand import refusal
from core.autograd.value import AccumulateGrad, Node, Value, count_of, extra_of

SYNONYMS = {"axis": "dim", "keepdims": "keepdim", "self": "input"}  # NumPy's names, where allowed


def _parameters(forward: Any) -> tuple[list[str], tuple[Any, ...], bool]:
    """Names and defaults of the arguments, and whether the last one takes any number.

    Read off the code: inspect.signature takes 15 us, and 700 ops are declared at import.
    """
    plain = inspect.unwrap(forward)
    code = plain.__code__
    variadic = bool(code.co_flags & inspect.CO_VARARGS)
    named = code.co_argcount + code.co_kwonlyargcount
    names = list(code.co_varnames[: named + variadic])
    given = plain.__defaults__ or ()
    missing = (inspect.Parameter.empty,) * (code.co_argcount - len(given))
    late = plain.__kwdefaults__ or {}
    only = tuple(late[n] for n in names[code.co_argcount : named])
    return names, (*missing, *given, *only) + (inspect.Parameter.empty,) * variadic, variadic


class Op:
    """A function of arrays, its gradient rules, and its accelerations.

    `casts(arrays, tensors)` brings the arrays to one dtype before the forward; `direct` is the
    forward used for NumPy arrays of float32 and float64, and of two arguments of one of the types
    with the characters `whole`; `alone` is the same for a first argument without others, and may
    give None; `view` says that the result may share the first one's memory, and `fresh` that the
    first one's gradient is new memory, which nothing else refers to. The first
    `tensors` arguments must be tensors, any one where it is None; the first `numbers`, both of two
    that are cast together, must be tensors or numbers.
    """

    # What the gradient function of an acceleration reads nothing of: it may be written before that.
    unread: tuple[int, ...] = ()

    def __init__(self, forward: Callable[..., Any], **traits: Any) -> None:
        self.forward = forward
        self.direct = getattr(forward, "narrow", forward)
        self.alone: Callable[[Any], Any] | None = None
        self.call: Callable[..., Any] = forward  # set to the op itself once it is made
        self.name = traits.get("name") or forward.__name__
        self.casts = traits.get("casts")
        self.view = traits.get("view", False)
        self.fresh = traits.get("fresh", False)
        self.result = traits.get("result")
        self.label = traits.get("label") or _camel(self.name) + "Backward0"
        self.params, self.defaults, self.variadic = _parameters(forward)
        self.required = self.defaults.count(inspect.Parameter.empty)
        self.arity = len(self.params)
        given = [i for i, d in enumerate(self.defaults) if d is inspect.Parameter.empty]
        self.optional = (
            max(given, default=-1) + 1
        )  # the first argument from which all have defaults
        self.places: dict[str, int] = {}  # where the arguments of the names used so far stand
        self.whole = traits.get("whole", "")
        tensors = traits.get("tensors", not self.variadic)
        self.some = tensors is None
        self.must = (1 << (tensors or 0)) - 1
        pair = self.arity == self.required == 2 and self.casts is not None and not self.variadic
        self.operands = self.must | (1 << traits.get("numbers", 2 * pair)) - 1
        self.rules: dict[int, Callable[..., Any]] = {}
        # The same for NumPy arrays, written to a given array: `into[i](home, g, <save-list>)`.
        self.into: dict[int, Callable[..., Any]] = {}
        # The same for the first argument and a NumPy array `g` that may be overwritten.
        self.over: Callable[..., Any] | None = None
        # The forward of NumPy floats, `writer(x, *args, out)`, of an op that is no ufunc.
        self.writer: Callable[..., Any] | None = None
        # Whether the gradient function of its acceleration takes `gated`: to do also what `over`
        # would, of the op that gave the first argument.
        self.gates = False
        self.plans: dict[Any, Plan] = {}
        self.fast: dict[type, Any] = {}
        self.constant = 0  # one bit per argument declared to have no gradient

    def bind(self, args: Any, kwargs: dict[str, Any]) -> tuple[Any, ...]:
        """The full tuple of arguments, in order.

        Raises: TypeError for a missing, repeated or unknown argument.
        """
        if len(args) > self.arity:
            raise TypeError(
                f"{self.name}() takes {self.arity} arguments but {len(args)} were given"
            )
        if not kwargs and len(args) >= self.required:
            return (*args, *self.defaults[len(args) :])
        bound = [*args, *self.defaults[len(args) :]]
        for name, value in kwargs.items():
            i = self.places.get(name)
            if i is None:
                i = self.places[name] = self.position(name)
            if i < len(args):
                raise TypeError(f"{self.name}() got multiple values for argument {name!r}")
            bound[i] = value
        for i in range(len(args), self.optional):
            if bound[i] is inspect.Parameter.empty:
                raise TypeError(f"{self.name}() missing required argument {self.params[i]!r}")
        return tuple(bound)

    def demand(self, args: Any, tensors: int) -> None:
        """Raise TypeError where an argument is no tensor, or number, although it must be one.

        Arrays, in a gradient rule, are as good.
        """
        for i, a in enumerate(args[: self.operands.bit_length()]):
            if tensors >> i & 1 or hasattr(a, "dtype"):
                continue
            if self.must >> i & 1 or not isinstance(a, (int, float)):
                raise refusal(self.name, self.params[i], i, a)
        if self.some and not tensors and not any(hasattr(a, "dtype") for a in args):
            raise refusal(self.name, self.params[0], 0, args[0])

    def position(self, name: str) -> int:
        """Where the argument called `name` stands; `input` and `other` are the first two.

        Raises: TypeError where there is none.
        """
        name = SYNONYMS.get(name, name)
        if name in self.params:
            return self.params.index(name)
        if name in ("input", "other") and self.arity > (name == "other"):
            return int(name == "other")
        raise TypeError(f"{self.name}() got an unexpected keyword argument {name!r}")

    def define(self, rules: dict[str, Callable[..., Any] | None]) -> None:
        """Add gradient rules by argument name; None declares an argument constant."""
        for name, rule in rules.items():
            i = self.params.index(name)
            if rule is None:
                self.constant |= 1 << i
            else:
                self.rules[i] = rule

    def rule(self, i: int) -> Callable[..., Any]:
        """The gradient rule of argument `i`.

        Raises: NotImplementedError where the op has none.
        """
        found = self.rules.get(min(i, self.arity - 1) if self.variadic else i)
        if found is None:
            param = self.params[min(i, self.arity - 1)]
            raise NotImplementedError(f"{self.name} has no gradient rule for argument {param!r}")
        return found

    def differentiable(self, wanted: int) -> int:
        """The bits of `wanted` that are not declared constant."""
        constant = self.constant
        if self.variadic and constant >> (self.arity - 1) & 1:
            return wanted & ((1 << (self.arity - 1)) - 1) & ~constant
        return wanted & ~constant


def _camel(name: str) -> str:
    return "".join(part[:1].upper() + part[1:] for part in name.split("_"))


class Variant:
    """PyTorch's two names of an op: for a tensor as the argument at a position, or a number."""

    def __init__(self, tensor: str, number: str, at: int = 1) -> None:
        self.tensor, self.number, self.at = tensor, number, at

    def __call__(self, node: Node) -> str:
        """The name of a node of an acceleration, which is for tensors."""
        return self.tensor

    def of(self, plan: Plan) -> str:
        """The name of the nodes of a plan."""
        return self.tensor if plan.given >> self.at & 1 else self.number


class Plan:
    """For one pattern of arguments: which rules will run, and the union of what they ask for.

    Arguments that no running rule asks for are not kept alive.
    """

    __slots__ = (
        "constants",
        "every_shape",
        "fresh",
        "given",
        "into",
        "keeps_out",
        "kept",
        "label",
        "op",
        "over",
        "shapes",
        "shortcut",
        "steps",
        "tensors",
        "wanted",
    )

    def __init__(self, op: Op, count: int, tensors: int, wanted: int) -> None:
        self.op = op
        self.given = tensors
        self.label = op.label.of(self) if isinstance(op.label, Variant) else op.label
        self.wanted = [i for i in range(count) if wanted >> i & 1]
        asked = {i: self._sources(op.rule(i), i) for i in self.wanted}
        every = [source for sources in asked.values() for source in sources]
        self.kept = sorted({i for kind, i in every if kind == "argument"})
        self.shapes = sorted({i for kind, i in every if kind == "shape"})
        self.every_shape = ("shapes", None) in every
        self.keeps_out = ("out", None) in every
        slots: list[Any] = [("argument", i) for i in self.kept]
        slots += [("shape", i) for i in self.shapes]
        slots += [("shapes", None)] * self.every_shape + [("out", None)] * self.keeps_out
        self.constants = sorted({i for kind, i in every if kind == "index"})
        slots += [("index", i) for i in self.constants]
        self.steps = [(op.rule(i), [slots.index(s) for s in asked[i]]) for i in self.wanted]
        self.into = [(k, op.into[i]) for k, i in enumerate(self.wanted) if i in op.into]
        self.fresh = op.fresh and wanted & 1
        self.over = op.over if wanted & 1 else None
        self.shortcut = bool(self.into or self.over)  # whether there is a shorter way at times
        self.tensors = [k for k, i in enumerate(self.kept) if tensors >> i & 1]

    def _sources(self, rule: Callable[..., Any], i: int) -> list[tuple[str, Any]]:
        names = list(inspect.signature(rule).parameters)[1:]
        return [self._source(name, i) for name in names]

    def _source(self, name: str, i: int) -> tuple[str, Any]:
        op = self.op
        if name in op.params:
            return "argument", op.params.index(name)
        if name == "out":
            return "out", None
        if op.variadic and name == "i":
            return "index", i - op.arity + 1
        if op.variadic and name == op.params[-1] + "_shapes":
            return "shapes", None
        if name.endswith("_shape") and name.removesuffix("_shape") in op.params:
            at = op.params.index(name.removesuffix("_shape"))
            return "shape", i if op.variadic and at == op.arity - 1 else at
        raise TypeError(f"{op.name}: a gradient rule asks for {name!r}, which is no argument")

    def save(self, args: Any, arrays: Any, out: Any) -> list[Any]:
        """What the running rules asked for, in the order of the slots."""
        saved = [args[i] for i in self.kept]
        for i in self.shapes:
            saved.append(arrays[i].shape)
        if self.every_shape:
            saved.append([x.shape for x in arrays[self.op.arity - 1 :]])
        if self.keeps_out:
            saved.append(out)
        return saved

    def versions(self, saved: Any) -> list[int] | None:
        """The write counts of the saved tensors, None where all are zero."""
        counts = [count_of(saved[k]) for k in self.tensors]
        return counts if any(counts) else None

    def release(self, node: Node) -> None:
        """Let go of what a node saved, once its gradient has passed; its name stays known.

        A node that saved no tensor can be used again.
        """
        if self.tensors or self.keeps_out:
            if not isinstance(self.label, str):
                extra_of(node).label = self.name(node)
            node.saved = None

    def name(self, node: Node) -> str:
        """PyTorch's name for a node of this op."""
        label = self.label
        known = node.extra.label if node.extra is not None else None
        return known or (label if isinstance(label, str) else label(node))

    def next_functions(self, node: Node) -> tuple[tuple[Any, int], ...]:
        """The nodes that gradients go to, with the index of the output they belong to."""
        op = self.op
        edges = dict(zip(self.wanted, node.edges))
        count = max(self.wanted, default=0) + 1 if op.variadic else op.arity
        open_ = [i for i in range(count) if i in edges or (i in op.rules and not op.variadic)]
        return tuple(face_of(edges.get(i)) for i in open_)


def face_of(source: Any) -> tuple[Any, int]:
    """An edge as `next_functions` shows it: the node, and which of its outputs."""
    return (None, 0) if source is None else (grad_fn_of(source), output_of(source))


def grad_fn_of(source: Any) -> Any:
    """The public face of an edge: a node, or what accumulates a leaf's gradient."""
    if isinstance(source, Value):
        return AccumulateGrad(source)
    return source.edges[0] if source.plan.op is None else source


def output_of(source: Any) -> int:
    """Which output of its op an edge leads to."""
    if isinstance(source, Node) and source.plan.op is None:
        return source.saved
    return 0


def underived(name: str) -> Callable[..., Any]:
    """A gradient rule that, when it is asked for, says that there is none, as PyTorch's does."""

    def rule(g: Any) -> Any:
        raise NotImplementedError(f"derivative for aten::{name} is not implemented")

    return rule
