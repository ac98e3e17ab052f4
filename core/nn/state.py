"""A module's state: what `state_dict` gives and `load_state_dict` takes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from core.autograd.value import RemovableHandle, Value, version_of
from core.backend import write
from core.nn.parameter import Parameter

EXTRA = "_extra_state"


class IncompatibleKeys(NamedTuple):
    """The keys that `load_state_dict` missed, and those it did not expect."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return (
            f"_IncompatibleKeys(missing_keys={self.missing_keys},"
            f" unexpected_keys={self.unexpected_keys})"
        )

    def __str__(self) -> str:
        return repr(self)


class Stateful:
    """The part of a module that saves and loads."""

    _version: int = 1
    _parameters: dict[str, Any]
    _buffers: dict[str, Any]
    _modules: dict[str, Any]
    _transient: dict[str, bool]
    _state_hooks: dict[str, dict[int, Callable[..., Any]]]

    def get_extra_state(self) -> Any:
        """What else belongs to `state_dict`; who overrides this overrides set_extra_state."""
        raise RuntimeError("Reached a code path in Module.get_extra_state() that should never run.")

    def set_extra_state(self, state: Any) -> None:
        """Take back what `get_extra_state` gave."""
        raise RuntimeError("Reached a code path in Module.set_extra_state() that should never run.")

    # ---- saving ----

    def state_dict(
        self, *args: Any, destination: Any = None, prefix: str = "", keep_vars: bool = False
    ) -> Any:
        """Every parameter and persistent buffer by its full name, sharing their memory.

        Example:
            >>> from core import nn
            >>> list(nn.Linear(2, 3).state_dict())
            ['weight', 'bias']
        """
        if args:
            given = dict(zip(("destination", "prefix", "keep_vars"), args, strict=False))
            return self.state_dict(**given)
        if destination is None:
            destination = OrderedDict()
            destination._metadata = OrderedDict()
        meta = {"version": self._version}
        if hasattr(destination, "_metadata"):
            destination._metadata[prefix[:-1]] = meta
        for hook in self._hooks_of("save_pre"):
            hook(self, prefix, keep_vars)
        self._save_to_state_dict(destination, prefix, keep_vars)
        for name, child in self._modules.items():
            if child is not None:
                child.state_dict(
                    destination=destination, prefix=f"{prefix}{name}.", keep_vars=keep_vars
                )
        for hook in self._hooks_of("save_post"):
            hook(self, destination, prefix, meta)
        return destination

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        for name, x in self._own_state().items():
            destination[prefix + name] = x if keep_vars else x.detach()
        if type(self).get_extra_state is not Stateful.get_extra_state:
            destination[prefix + EXTRA] = self.get_extra_state()

    def _own_state(self) -> dict[str, Any]:
        buffers = {k: x for k, x in self._buffers.items() if k not in self._transient}
        return {k: x for k, x in (self._parameters | buffers).items() if x is not None}

    # ---- loading ----

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> IncompatibleKeys:
        """The keys that did not match, after copying (or with `assign`, adopting) the given state.

        Raises: RuntimeError naming each key and shape that does not fit.
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"Expected state_dict to be dict-like, got {type(state_dict)}.")
        missing: list[str] = []
        unexpected: list[str] = []
        errors: list[str] = []
        metadata = getattr(state_dict, "_metadata", None)
        state = OrderedDict(state_dict)
        load_tree(self, state, "", (metadata, strict, assign), (missing, unexpected, errors))
        if strict:
            listed = (("Unexpected", unexpected), ("Missing", missing))
            errors[:0] = [_listed(kind, keys) for kind, keys in reversed(listed) if keys]
        if errors:
            lines = "\n\t".join(errors)
            raise RuntimeError(
                f"Error(s) in loading state_dict for {type(self).__name__}:\n\t{lines}"
            )
        return IncompatibleKeys(missing, unexpected)

    def _load_from_state_dict(
        self,
        state_dict: Any,
        prefix: str,
        local_metadata: Any,
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        for hook in self._hooks_of("load_pre"):
            hook(
                self,
                state_dict,
                prefix,
                local_metadata,
                strict,
                missing_keys,
                unexpected_keys,
                error_msgs,
            )
        assign = local_metadata.get("assign_to_params_buffers", False)
        for name, x in self._own_state().items():
            if prefix + name in state_dict:
                self._load_one(name, x, state_dict[prefix + name], prefix, assign, error_msgs)
            elif strict:
                missing_keys.append(prefix + name)
        self._load_extra(state_dict, prefix, strict, missing_keys, unexpected_keys)
        if strict:
            self._find_unexpected(state_dict, prefix, unexpected_keys)

    def _load_one(
        self, name: str, x: Any, given: Any, prefix: str, assign: bool, errors: list[str]
    ) -> None:
        key = prefix + name
        if getattr(x, "is_lazy", False) and isinstance(given, Value):
            x.materialize(tuple(given.array.shape))
        elif x.array.ndim == 0 and isinstance(given, Value) and given.array.ndim == 1:
            given = given[0]  # type: ignore[index]  # files older than tensors without dims
        if not isinstance(given, Value):
            errors.append(
                f'While copying the parameter named "{key}", expected Tensor or Tensor-like object'
                f" from checkpoint but received {type(given)}"
            )
        elif given.array.shape != x.array.shape:
            errors.append(
                f"size mismatch for {key}: copying a param with shape {_size(given)} from"
                f" checkpoint, the shape in current model is {_size(x)}."
            )
        elif assign:
            self._adopt(name, x, given)
        else:
            write(x.array, given.array)
            version_of(x)[0] += 1

    def _adopt(self, name: str, x: Any, given: Any) -> None:
        if isinstance(x, Parameter):
            if isinstance(given, Parameter):
                given.requires_grad_(x.requires_grad)
            else:
                given = Parameter(given, requires_grad=x.requires_grad)
        setattr(self, name, given)

    def _load_extra(
        self, state: Any, prefix: str, strict: bool, missing: list[str], unexpected: list[str]
    ) -> None:
        key = prefix + EXTRA
        if type(self).set_extra_state is not Stateful.set_extra_state:
            if key in state:
                self.set_extra_state(state[key])
            elif strict:
                missing.append(key)
        elif strict and key in state:
            unexpected.append(key)

    def _find_unexpected(self, state: Any, prefix: str, unexpected: list[str]) -> None:
        own = self._own_state()
        for key in state:
            if key.startswith(prefix) and key != prefix + EXTRA:
                first, *rest = key[len(prefix) :].split(".", 1)
                if first not in (self._modules if rest else own):
                    unexpected.append(key)

    # ---- hooks ----

    def _hooks_of(self, moment: str) -> list[Callable[..., Any]]:
        return list(self._state_hooks.get(moment, {}).values())

    def _add_state_hook(self, moment: str, hook: Callable[..., Any]) -> RemovableHandle:
        return RemovableHandle(self._state_hooks.setdefault(moment, {}), hook)

    def register_state_dict_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """A handle of `hook(module, prefix, keep_vars)`, run before `state_dict`."""
        return self._add_state_hook("save_pre", hook)

    def register_state_dict_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """A handle of `hook(module, state_dict, prefix, metadata)`, run after `state_dict`."""
        return self._add_state_hook("save_post", hook)

    def register_load_state_dict_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """A handle of `hook(module, state_dict, prefix, ...)`, run before this module loads."""
        return self._add_state_hook("load_pre", hook)

    def register_load_state_dict_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """A handle of `hook(module, incompatible_keys)`, run after this module loaded."""
        return self._add_state_hook("load_post", hook)


def load_tree(module: Any, state: Any, prefix: str, how: Any, found: Any) -> None:
    """Load a module and then its children; `found` notes what is missing, unexpected or wrong."""
    metadata, _, assign = how
    missing, unexpected, errors = found
    meta = {} if metadata is None else dict(metadata.get(prefix[:-1], {}))
    if assign:
        meta["assign_to_params_buffers"] = True
    module._load_from_state_dict(state, prefix, meta, True, missing, unexpected, errors)
    for name, child in module._modules.items():
        if child is not None:
            start = f"{prefix}{name}."
            part = OrderedDict((k, x) for k, x in state.items() if k.startswith(start))
            load_tree(child, part, start, how, found)
    keys = IncompatibleKeys(missing, unexpected)
    for hook in module._hooks_of("load_post"):
        hook(module, keys)


def _listed(kind: str, keys: list[str]) -> str:
    names = ", ".join(f'"{key}"' for key in keys)
    return f"{kind} key(s) in state_dict: {names}. "


def _size(x: Any) -> str:
    return f"core.Size([{', '.join(map(str, x.array.shape))}])"
