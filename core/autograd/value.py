"""What is recorded: values, the graph's nodes, and which values share memory."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from core.autograd.mode import mode

_new = object.__new__
sequence = itertools.count().__next__  # a later op has a larger number, so sorting is topological


class Value:
    """What the engine needs of a tensor: its array, and where in the graph it stands.

    `version` is a one-element list shared by all values of the same memory, or None while nobody
    shares it and nothing was written; `base` tells how a differentiable view comes from its root;
    `leaf` holds the gradient and its hooks once there are any.
    """

    __slots__ = (
        "__weakref__",
        "array",
        "base",
        "leaf",
        "needs_grad",
        "node",
        "version",
    )

    array: Any
    base: View | None
    leaf: Leaf | None
    needs_grad: bool
    node: Node | None
    version: list[int] | None


class Before(Value):
    """What a tensor was before it got another form in place: the root of its earlier views."""

    __slots__ = ()


class Kind:
    """The class that ops return: Value, until the tensor module makes it Tensor."""

    of_results: type[Value] = Value
    waiting: Any = None  # that of results which are made when they are read


def wrap(array: Any, node: Node | None = None) -> Any:
    """A value holding `array`, the result of `node`."""
    out = object.__new__(Kind.of_results)
    out.array = array
    out.node = node
    out.needs_grad = node is not None
    out.version = out.base = out.leaf = None
    return out


class Node:
    """One application of an op: the edges to its inputs and what its rules asked to keep.

    `versions` are the write counts of the saved values, None where all are zero; `extra` is made
    for what few nodes have: hooks, a shared result, a trace.
    """

    __slots__ = (
        "__weakref__",
        "dtype",
        "edges",
        "extra",
        "plan",
        "saved",
        "seq",
        "shape",
        "versions",
    )

    def __init__(self, plan: Any, saved: Any, edges: list[Any], shape: Any, dtype: Any) -> None:
        self.seq = sequence()
        self.plan = plan
        self.saved = saved
        self.edges = edges
        self.shape = shape
        self.dtype = dtype
        self.versions: list[int] | None = None
        self.extra: Any = None

    def __call__(self, g: Any) -> Any:
        return self.plan.products(self, g, False)

    def name(self) -> str:
        """What PyTorch calls this node."""
        return self.plan.name(self)

    def register_prehook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """A handle of `hook(grad_outputs)`, run before this node; it may return others."""
        extra = extra_of(self)
        extra.before = {} if extra.before is None else extra.before
        return RemovableHandle(extra.before, hook)

    def register_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """A handle of `hook(grad_inputs, grad_outputs)`, run after this node."""
        extra = extra_of(self)
        extra.after = {} if extra.after is None else extra.after
        return RemovableHandle(extra.after, hook)

    @property
    def metadata(self) -> dict[Any, Any]:
        """A dict for whatever one wants to note on this node."""
        extra = extra_of(self)
        extra.metadata = {} if extra.metadata is None else extra.metadata
        return extra.metadata

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.saved, name, None) if hasattr(self.plan, "context") else None
        if found is None:
            raise AttributeError(f"{self.name()!r} object has no attribute {name!r}")
        return found

    @property
    def next_functions(self) -> tuple[tuple[Any, int], ...]:
        """The nodes this one passes gradients to, each with the index of its output."""
        return self.plan.next_functions(self)

    def __repr__(self) -> str:
        return f"<{self.name()} object at {id(self):#x}>"


class Extra:
    """What few nodes have: hooks, the shared counter of the kept result, a trace."""

    before: dict[int, Callable[..., Any]] | None = None
    after: dict[int, Callable[..., Any]] | None = None
    metadata: dict[Any, Any] | None = None
    hooks: dict[int, Callable[..., Any]] | None = None
    out_version: tuple[list[int], int] | None = None
    watched: list[tuple[list[int], int, Any]] | None = None  # counters, their counts, arrays
    trace: str | None = None
    label: str | None = None  # the name, where it depended on what was saved and is gone


def extra_of(node: Node) -> Extra:
    """The rare parts of a node, made on first use."""
    if node.extra is None:
        node.extra = Extra()
    return node.extra


def called(x: Any, label: str) -> Any:
    """`x`, a new result whose node is to bear PyTorch's name of the function as a whole."""
    if isinstance(x, Value) and x.node is not None:  # arrays inside a gradient rule have none
        several = x.node.plan.op is None  # the node that all results are picked from
        extra_of(x.node.edges[0] if several else x.node).label = label
    return x


class AccumulateGrad:
    """What stands at the end of the graph where a leaf gathers its gradient."""

    def __init__(self, variable: Value) -> None:
        self.variable = variable
        self.next_functions = ()

    def name(self) -> str:
        """PyTorch's name of this node."""
        return "torch::autograd::AccumulateGrad"

    def __repr__(self) -> str:
        return f"<AccumulateGrad object at {id(self):#x}>"


# ---- shared memory ----------------------------------------------------------------------------


class View:
    """How a view comes from its root, and the root's version it held at.

    It is op(*args), where args[0] is the root or, where there is a view `before`, that of it.
    """

    __slots__ = ("args", "before", "count", "op", "root")

    lost = False  # whether writes cannot be followed through it
    root: Value
    count: int
    before: View | None
    op: Any
    args: Any

    def steps(self) -> list[Any]:
        """The calls, as (op, further arguments), that make it of its root."""
        found = []
        view: View | None = self
        while view is not None:
            found.append((view.op.call, view.args[1:]))
            view = view.before
        found.reverse()
        return found


def replayed(steps: list[Any], x: Any) -> Any:
    """The view that `steps` make of `x`, a value or an array."""
    for op, args in steps:
        x = op(x, *args)
    return x


class LostView(View):
    """A view through which writes cannot be followed, and why."""

    __slots__ = ("why",)

    lost = True
    why: str

    def refusal(self, what: str = "is being") -> RuntimeError:
        """The error that says that this view, or its base, was written."""
        return RuntimeError(f"A view {what} modified inplace with grad mode enabled. {self.why}")


UNRECORDED = (
    "The view was created in no_grad mode: this use case is ambiguous and error-prone, so it is"
    " forbidden. You can clarify your code by moving both the view and the inplace either both"
    " inside the no_grad block (if you don't want the inplace to be tracked) or both outside (if"
    " you want the inplace to be tracked)."
)
SEVERAL = (
    "The view is the output of a function that returns multiple views. Such functions do not allow"
    " the output views to be modified inplace. You should replace the inplace operation by an"
    " out-of-place one."
)


class Unrecorded(LostView):
    """A view made under no_grad: the reason is the class's, as making one should cost little."""

    __slots__ = ()

    why = UNRECORDED


def step_from(op: Any, args: Any, count: int, recording: bool) -> View:
    """How the view op(*args) comes from its root; without an op it is one of several."""
    base = args[0].base
    if not recording:
        view: Any = _new(Unrecorded)  # not by a call of the class, which costs 0.2 us more
    elif op is None or (base is not None and base.lost):
        view = _new(LostView)
        view.why = SEVERAL if op is None else base.why
    else:
        view = _new(View)
        view.op, view.args, view.before = op, args, base
    view.root = args[0] if base is None else base.root
    view.count = count
    return view


class Inference(list[int]):
    """The counter of tensors made in inference mode: writing is an error outside of it."""

    def __init__(self) -> None:
        super().__init__([1])

    def __setitem__(self, i: Any, count: Any) -> None:
        self.allow("Inplace update to inference tensor")
        super().__setitem__(i, count)

    @staticmethod
    def allow(what: str) -> None:
        """Refuse `what` outside inference mode.

        Raises: RuntimeError.
        """
        if not mode.inference:
            raise RuntimeError(
                f"{what} outside InferenceMode is not allowed. You can make a clone to get a normal"
                " tensor before doing that."
            )


def root_of(view: View) -> Value:
    """What a view is a view of; a root that got another form in place is one itself by now."""
    while view.root.base is not None:
        view.root = view.root.base.root
    return view.root


def count_of(x: Value) -> int:
    """How often the memory of `x`, which is being saved for backward, was written.

    Raises: RuntimeError for a tensor made in inference mode.
    """
    if type(x.version) is Inference:
        raise RuntimeError(
            "Inference tensors cannot be saved for backward. To work around you can make a clone to"
            " get a normal tensor and use it in autograd."
        )
    return x.version[0] if x.version else 0


def version_of(x: Value) -> list[int]:
    """The counter of writes to the memory of `x`, made shareable."""
    counter = x.version
    if counter is None:
        counter = x.version = [0]
        node = x.node
        if node is not None and node.plan.keeps_out:
            extra_of(node).out_version = (counter, 0)
    return counter


def share(out: Value, x: Value) -> None:
    """Let `out` count writes together with `x`, whose memory it shares."""
    out.version = version_of(x)


def refresh(x: Value) -> None:
    """Bring a view's node up to date after its memory was written through another value."""
    view = x.base
    assert view is not None and x.version is not None
    count = x.version[0]
    if root_of(view).needs_grad:
        if view.lost:
            if mode.recording:
                raise view.refusal("was created, and its base or another view of it has been")  # type: ignore[attr-defined]
            return
        recording = mode.recording
        mode.record(True)  # the view is as tracked as it was, whoever looks at it
        try:
            again = replayed(view.steps(), view.root)
        finally:
            mode.record(recording)
        x.node, x.needs_grad = again.node, again.needs_grad
    view.count = count


# ---- hooks ------------------------------------------------------------------------------------


class Leaf:
    """A leaf's gradient, and the functions run on it before, and on the leaf after, it grows.

    `home` is where a first gradient is put, if somebody keeps a place (in a bucket, that is reduced
    as a whole); `local` says that the gradient waits to be reduced, `reduced` is what the last
    reduction left, `given` what was assigned; `stand_ins` are in graphs in the leaf's place.
    """

    __slots__ = ("after", "before", "given", "gradient", "home", "local", "reduced", "stand_ins")

    def __init__(self) -> None:
        self.gradient: Any = None
        self.home: Any = None
        self.local = False
        self.reduced: Any = None
        self.given: Any = None
        self.stand_ins: Any = ()
        self.before: dict[int, Callable[..., Any]] = {}
        self.after: dict[int, Callable[..., Any]] = {}


def leaf_of(x: Value) -> Leaf:
    """The gradient and hooks of a leaf, made on first use."""
    if x.leaf is None:
        x.leaf = Leaf()
    return x.leaf


class RemovableHandle:
    """Takes a hook away again: `remove()`, or the end of a `with` block."""

    _number = itertools.count().__next__

    def __init__(self, hooks: dict[int, Any], hook: Any) -> None:
        self.hooks = hooks
        self.id = RemovableHandle._number()
        hooks[self.id] = hook

    def remove(self) -> None:
        """Take the hook away; doing so twice is harmless."""
        self.hooks.pop(self.id, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *_: Any) -> None:
        self.remove()


def add_hook(node: Node, hook: Callable[..., Any]) -> RemovableHandle:
    """A handle of `hook`, run on the gradient of a node's result."""
    extra = extra_of(node)
    if extra.hooks is None:
        extra.hooks = {}
    return RemovableHandle(extra.hooks, hook)
