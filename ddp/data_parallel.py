"""DataParallel: one process, one module, its batch spread over several devices."""

from __future__ import annotations

import operator
import threading
from collections.abc import Callable, Sequence
from typing import Any

from core import backend, random
from core.autograd.dispatch import primitive
from core.autograd.mode import is_grad_enabled, mode, set_grad_enabled
from core.backend import Device, device_of, resolve, to_device
from core.ops.cast import transfer
from ddp.device_split import gather, scatter
from ddp.nested import map_tensors
from ddp.wrapper import Wrapper


class DataParallel(Wrapper):
    """`module` applied to chunks of the batch, one thread and one replica per device.

    The first device works with `module` itself, so its buffers are the ones that stay. With `loss`,
    a call takes the targets as its last argument and returns the mean loss, computed where the
    chunks are, so that no device gathers all outputs.
    """

    def __init__(
        self,
        module: Any,
        device_ids: Sequence[Any] | None = None,
        output_device: Any = None,
        dim: int = 0,
        loss: Callable[..., Any] | None = None,
    ) -> None:
        super().__init__(module)
        if device_ids is None:
            device_ids = range(backend.device_count())
        self.devices = [resolve(d) for d in device_ids]
        self.device_ids = [d.index for d in self.devices]
        self.output_device = (
            self.devices[0] if output_device is None and self.devices else output_device
        )
        self.dim = dim
        self.loss = loss
        self._replicas: Replicas | None = None
        if self.devices:
            module.to(self.devices[0])

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        """The module's output on the output device; with `loss`, the mean loss."""
        if not self.devices:
            return self._one(self.module, inputs, kwargs)
        self._check_placement()
        given = (inputs, kwargs)
        # Without any argument there is nothing to share out, and one device does it all.
        chunks = scatter(given, self.devices, self.dim) if inputs or kwargs else [given]
        if len(chunks) == 1:
            return self._from_one(self._one(self.module, *chunks[0]))
        modules = self.replicate(self.devices[: len(chunks)])
        calls: list[Any] = [self._caller(m) for m in modules]
        outputs = parallel_apply(
            calls, [c[0] for c in chunks], [c[1] for c in chunks], self.devices[: len(chunks)]
        )
        joined = gather(outputs, self.output_device, self.dim)
        return joined if self.loss is None else self._mean(joined, chunks)

    def _from_one(self, out: Any) -> Any:
        if len(self.devices) == 1 or self.loss is not None:
            return map_tensors(out, lambda x: x.to(self.output_device))
        return gather([out], self.output_device, self.dim)

    def _caller(self, module: Any) -> Callable[..., Any]:
        return lambda *args, **options: self._one(module, args, options)

    def _one(self, module: Any, args: Any, kwargs: Any) -> Any:
        if self.loss is None:
            return module(*args, **kwargs)
        *inputs, target = args
        return self.loss(module(*inputs, **kwargs), target)

    def _mean(self, losses: Any, chunks: Any) -> Any:
        counts = [c[0][-1].shape[self.dim] for c in chunks]
        total = sum(counts)
        parts = [losses[i] * (n / total) for i, n in enumerate(counts)]
        mean = parts[0]
        for part in parts[1:]:
            mean = mean + part
        return mean

    def _check_placement(self) -> None:
        for x in (*self.module.parameters(), *self.module.buffers()):
            if device_of(x.array) != self.devices[0]:
                raise RuntimeError(
                    f"module must have its parameters and buffers on device {self.devices[0]}"
                    f" (device_ids[0]) but found one of them on device: {device_of(x.array)}"
                )

    def replicate(self, devices: Sequence[Device]) -> list[Any]:
        """The module and its replicas, which hold what the module holds now."""
        if self._replicas is None or not self._replicas.fit(self.module, self.devices):
            self._replicas = Replicas(self.module, self.devices)
        return self._replicas.refreshed(len(devices))

    def __getstate__(self) -> dict[str, Any]:
        """What is copied and pickled: the replicas are made anew."""
        return {**super().__getstate__(), "_replicas": None}


class Replicas:
    """Copies of a module on other devices, made once, whose tensors come from the module's."""

    def __init__(self, module: Any, devices: Sequence[Device]) -> None:
        self.module = module
        self.devices = list(devices)
        self.layers = [*module.modules()]
        self.copies = [{id(m): object.__new__(type(m)) for m in self.layers} for _ in devices[1:]]

    def fit(self, module: Any, devices: Sequence[Device]) -> bool:
        """Whether the copies were made of this module's layers, for these devices."""
        found = [*module.modules()]
        same = len(found) == len(self.layers) and all(map(operator.is_, found, self.layers))
        return same and list(devices) == self.devices

    def refreshed(self, count: int) -> list[Any]:
        """The module and its first copies, with its values, modes, hooks and attributes."""
        copies = zip(self.devices[1:count], self.copies, strict=False)
        return [self.module, *[self._on(device, made) for device, made in copies]]

    def _on(self, device: Device, made: dict[int, Any]) -> Any:
        sent: dict[int, Any] = {}
        for m in self.layers:
            state = vars(made[id(m)])
            state.clear()
            state.update(vars(m))
            state["_modules"] = {name: made.get(id(child)) for name, child in m._modules.items()}
            for table in ("_parameters", "_buffers"):
                # New ones each time: the graph of another forward may need those that were.
                for x in state[table].values():
                    if x is not None and id(x) not in sent:
                        sent[id(x)] = _sent(x, device)
                state[table] = {name: sent.get(id(x)) for name, x in state[table].items()}
        return made[id(self.module)]


def _sent(x: Any, device: Device) -> Any:
    """A copy of a parameter or buffer on `device`, of its class; it is no leaf."""
    made = stand_in(x, device, device_of(x.array))
    out = object.__new__(type(x))
    out.array, out.node, out.needs_grad = made.array, made.node, made.needs_grad
    out.version, out.base, out.leaf = made.version, None, None
    out.__dict__ = x.__dict__
    return out


@primitive(label="BroadcastBackward")
def stand_in(x, device, origin):  # type: ignore[no-untyped-def]
    """A copy on `device` of `x`, which lies on `origin`."""
    made = to_device(x, device)
    return made.copy() if made is x else made


stand_in.defvjp(x=lambda g, device, origin: transfer(g, origin, device), device=None, origin=None)


# ---- the parts as functions -------------------------------------------------------------------


def replicate(network: Any, devices: Sequence[Any], detach: bool = False) -> list[Any]:
    """`network` (on the first device) and copies of it on the others, with their own parameters."""
    places = [resolve(d) for d in devices]
    with set_grad_enabled(is_grad_enabled() and not detach):
        return Replicas(network, places).refreshed(len(places))


def parallel_apply(
    modules: Sequence[Any],
    inputs: Sequence[Any],
    kwargs_tup: Sequence[dict[str, Any]] | None = None,
    devices: Sequence[Any] | None = None,
) -> list[Any]:
    """Every module's output for its inputs, each computed in a thread of its own.

    Random numbers come from one stream per module, so they do not depend on the threads' timing.
    Raises: the first module's exception, in the order of the modules.
    """
    options = kwargs_tup or [{}] * len(modules)
    places = [resolve(d) for d in (devices or [])] or [backend.CPU] * len(modules)
    parent, grad = random.default_generator(), is_grad_enabled()
    watchers = mode.watchers  # autocast is one
    outs: list[Any] = [None] * len(modules)
    errors: list[BaseException | None] = [None] * len(modules)
    generators = [parent.clone_state() for _ in modules]

    def run(i: int) -> None:
        generators[i].stream = parent.stream * len(modules) + i
        args = inputs[i] if isinstance(inputs[i], (tuple, list)) else (inputs[i],)
        mode.watch(watchers)
        try:
            with random.using(generators[i]), set_grad_enabled(grad), backend.on(places[i]):
                outs[i] = modules[i](*args, **options[i])
        except BaseException as error:  # raised below, in the calling thread
            errors[i] = error

    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(modules))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    parent.offset = max(g.offset for g in generators)
    for i, error in enumerate(errors):
        if error is not None:
            _raise_from(error, f"in replica {i} on device {places[i]}")
    return outs


def _raise_from(error: BaseException, place: str) -> None:
    if not isinstance(error, Exception):  # as it is, such as the end of the script
        raise error
    raise _with_place(error, place) from error


def _with_place(error: Exception, place: str) -> Exception:
    """An error of the same kind, where that is made of a text, that says where it was raised."""
    kind = type(error)
    try:
        return kind(f"{place}: {error}")
    except TypeError:
        return RuntimeError(f"{place}: {kind.__name__}: {error}")


def data_parallel(
    module: Any,
    inputs: Any,
    device_ids: Sequence[Any] | None = None,
    output_device: Any = None,
    dim: int = 0,
    module_kwargs: dict[str, Any] | None = None,
) -> Any:
    """The output of `module` for `inputs`, computed on several devices."""
    args = inputs if isinstance(inputs, tuple) else (inputs,)
    return DataParallel(module, device_ids, output_device, dim)(*args, **(module_kwargs or {}))
