"""`--as-torch`: scripts written for PyTorch run unchanged; their imports are served from here.

A finder at the head of `sys.meta_path` answers for `torch` and `torchvision`, installed or not,
with modules that look their names up in `core` and `ddp`. What is missing there raises the error
that a missing name raises, saying so.
"""

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
import types
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn

from core.data import worker
from core.dtype import why_missing
from ddp.starting import GroupMember
from ddp.starting import why_missing as why_not_distributed

# The files of PyTorch's layers, from which programs import them.
_LAYERS = """
activation adaptive channelshuffle container distance dropout flatten fold lazy normalization
padding pixelshuffle pooling rnn sparse transformer upsampling
""".split()
# Those of them from which programs import private bases, too.
_PRIVATE = "batchnorm conv instancenorm loss".split()
_FAMILIES = """
bernoulli beta binomial categorical cauchy chi2 dirichlet distribution exponential
fishersnedecor gamma geometric gumbel half_cauchy half_normal independent inverse_gamma kl
laplace log_normal mixture_same_family multinomial multivariate_normal negative_binomial normal
one_hot_categorical pareto poisson studentT uniform weibull
""".split()
_TIMES = "single pair triple quadruple".split()
_OPTIMIZERS = "adadelta adagrad adam adamax adamw asgd lbfgs nadam radam rmsprop rprop sgd".split()
_PARALLEL = "ddp:DataParallel DistributedDataParallel data_parallel parallel_apply replicate"
# Each module of PyTorch's and the modules in which its names are looked up, in this order, after a
# colon the only names that are taken from there. A module that is served from nothing has its
# submodules and what `_OWN` gives it.
SERVED: dict[str, tuple[str, ...]] = {
    "torch": ("core",),
    "torch.amp": ("core.amp",),
    "torch.amp.autocast_mode": ("core.amp",),
    "torch.amp.grad_scaler": ("core.amp:GradScaler",),
    "torch.autograd": ("core.autograd",),
    "torch.autograd.anomaly_mode": ("core.autograd:detect_anomaly set_detect_anomaly",),
    "torch.autograd.forward_ad": ("core.autograd.forward_ad",),
    "torch.autograd.function": ("core.autograd.function",),
    "torch.autograd.functional": ("core.autograd.functional",),
    "torch.autograd.grad_mode": (
        "core.autograd.mode:no_grad enable_grad set_grad_enabled inference_mode",
    ),
    "torch.autograd.graph": ("core.autograd.graph",),
    "torch.autograd.profiler": ("core.autograd.profiler",),
    "torch.autograd.profiler_util": ("core.profiler.events",),
    "torch.autograd.variable": ("core.autograd:Variable",),
    "torch.accelerator": ("core.accelerator",),
    "torch.backends": ("core.backends",),
    "torch.backends.cuda": ("core.backends.cuda",),
    "torch.backends.cudnn": ("core.backends.cudnn",),
    "torch.backends.mps": ("core.backends.mps",),
    "torch.compiler": ("core.compiler",),
    "torch.cuda": ("core.cuda",),
    "torch.cuda.amp": ("core.cuda.amp",),
    "torch.cuda.amp.autocast_mode": ("core.cuda.amp",),
    "torch.cuda.amp.grad_scaler": ("core.cuda.amp:GradScaler",),
    "torch.distributed": ("ddp",),
    "torch.distributed.distributed_c10d": ("ddp",),
    "torch.distributed.constants": ("ddp:default_pg_timeout",),
    "torch.distributed.nn": ("ddp.nn",),
    "torch.distributed.nn.functional": ("ddp.nn",),
    "torch.distributed.algorithms": (),
    "torch.distributed.algorithms.ddp_comm_hooks": ("ddp:DDPCommHookType register_ddp_comm_hook",),
    "torch.distributed.algorithms.ddp_comm_hooks.default_hooks": ("ddp.hooks",),
    "torch.distributed.algorithms.ddp_comm_hooks.powerSGD_hook": ("ddp.powersgd",),
    "torch.distributed.algorithms.ddp_comm_hooks.debugging_hooks": ("ddp.hooks:noop_hook",),
    "torch.distributed.algorithms.ddp_comm_hooks.post_localSGD_hook": (
        "ddp.local_sgd:PostLocalSGDState post_localSGD_hook",
    ),
    "torch.distributed.algorithms.model_averaging": (),
    "torch.distributed.algorithms.model_averaging.averagers": (
        "ddp.local_sgd:PeriodicModelAverager",
    ),
    "torch.distributed.algorithms.join": ("ddp:Join Joinable JoinHook",),
    "torch.distributed.elastic": (),
    "torch.distributed.elastic.multiprocessing": (),
    "torch.distributed.elastic.multiprocessing.errors": ("ddp.starting:record",),
    "torch.distributed.optim": ("ddp:ZeroRedundancyOptimizer PostLocalSGDOptimizer",),
    "torch.distributions": ("core.distributions",),
    **{f"torch.distributions.{name}": ("core.distributions",) for name in _FAMILIES},
    "torch.distributions.utils": ("core.distributions.distribution:broadcast_all",),
    "torch.functional": ("core",),
    "torch.futures": ("ddp.futures",),
    "torch.func": ("core.func",),
    "torch.jit": ("core.jit",),
    "torch.linalg": ("core.linalg",),
    "torch.multiprocessing": ("ddp:spawn", "multiprocessing"),
    "torch.nn": ("core.nn", "ddp:DataParallel SyncBatchNorm"),
    "torch.nn.attention": ("core.nn.attention_kernels",),
    "torch.nn.functional": ("core.nn.functional",),
    "torch.nn.init": ("core.nn.init",),
    "torch.nn.modules": ("core.nn.modules", "core.nn"),
    **{f"torch.nn.modules.{name}": ("core.nn", f"core.nn.modules.{name}") for name in _PRIVATE},
    "torch.nn.modules.linear": ("core.nn", "core.nn.attention:NonDynamicallyQuantizableLinear"),
    **{f"torch.nn.modules.{name}": ("core.nn",) for name in _LAYERS},
    "torch.nn.modules.utils": (),
    "torch.nn.modules.module": ("core.nn.modules.module", "core.nn:Module"),
    "torch.nn.parallel": (_PARALLEL, "ddp.device_split:gather scatter"),
    "torch.nn.parallel.distributed": (_PARALLEL,),
    "torch.nn.parameter": (
        "core.nn.parameter",
        "core.nn.lazy:UninitializedParameter UninitializedBuffer is_lazy",
    ),
    "torch.nn.utils": ("core.nn.utils",),
    "torch.nn.utils.clip_grad": ("core.nn.clip",),
    "torch.nn.utils.convert_parameters": ("core.nn.vectors",),
    "torch.nn.utils.fusion": ("core.nn.fusion",),
    "torch.nn.utils.init": ("core.nn.weights:skip_init",),
    "torch.nn.utils.prune": ("core.nn.utils.prune",),
    "torch.nn.utils.stateless": ("core.nn.utils.stateless",),
    "torch.nn.utils.rnn": ("core.nn.utils.rnn",),
    "torch.nn.utils.parametrizations": ("core.nn.utils.parametrizations",),
    "torch.nn.utils.parametrize": ("core.nn.utils.parametrize",),
    "torch.onnx": ("core.onnx",),
    "torch.optim": ("core.optim",),
    **{f"torch.optim.{name}": ("core.optim",) for name in _OPTIMIZERS},
    "torch.optim.lr_scheduler": ("core.optim.lr_scheduler",),
    "torch.optim.optimizer": ("core.optim.optimizer",),
    "torch.optim.swa_utils": ("core.optim.swa_utils",),
    "torch.profiler": ("core.profiler",),
    "torch.profiler.profiler": ("core.profiler",),
    "torch.random": ("core.random",),
    "torch.serialization": ("core.serialization",),
    "torch.special": ("core.special", "core.ops.special"),
    "torch.testing": ("core.testing",),
    "torch.utils": (),
    "torch.utils.benchmark": ("core.benchmark",),
    "torch.utils.checkpoint": ("core.recompute",),
    "torch.utils.data": ("core.data", "ddp:DistributedSampler"),
    "torch.utils.data._utils": (),
    "torch.utils.data._utils.collate": ("core.data:default_collate default_convert",),
    "torch.utils.data.dataloader": ("core.data",),
    "torch.utils.data.dataset": ("core.data",),
    "torch.utils.data.distributed": ("ddp:DistributedSampler",),
    "torch.utils.data.sampler": ("core.data",),
    "torch.utils.tensorboard": ("core.tensorboard",),
    "torch.utils.tensorboard.writer": ("core.tensorboard",),
    "torch.version": (),
    "torchvision": ("core.vision",),
    "torchvision.datasets": ("core.vision.datasets",),
    "torchvision.datasets.cifar": ("core.vision.datasets",),
    "torchvision.datasets.folder": ("core.vision.datasets",),
    "torchvision.datasets.mnist": ("core.vision.datasets",),
    "torchvision.io": ("core.vision.images:read_image",),
    "torchvision.models": ("core.vision.models",),
    "torchvision.models.mobilenet": ("core.vision.models.mobilenet",),
    "torchvision.models.mobilenetv2": ("core.vision.models.mobilenet",),
    "torchvision.models.resnet": ("core.vision.models.resnet",),
    "torchvision.models.vgg": ("core.vision.models.vgg",),
    "torchvision.models.vision_transformer": ("core.vision.models.vision_transformer",),
    "torchvision.transforms": ("core.vision.transforms",),
    "torchvision.transforms.transforms": ("core.vision.transforms",),
    "torchvision.transforms.functional": ("core.vision.transforms.functional",),
    "torchvision.utils": ("core.vision.images",),
}


def _ntuple(n: int) -> Callable[[Any], tuple[Any, ...]]:
    """What brings a layer's argument to `n` numbers, as programs with layers of their own do."""
    return lambda x: tuple(x) if isinstance(x, Iterable) else (x,) * n


# Names that stand for a setting or a version and are read or written without more.
_OWN: dict[str, dict[str, Any]] = {
    # The version whose names and defaults are followed.
    "torch": {"__version__": "2.13.0+unison", "has_mps": False},
    "torch.distributed": {"group": GroupMember},
    "torch.nn.modules.utils": {
        "_ntuple": _ntuple,
        **{f"_{name}": _ntuple(n) for n, name in enumerate(_TIMES, 1)},
    },
    "torch.version": {"cuda": None, "hip": None},
    "torchvision": {"__version__": "0.28.0+unison"},
}
_ROOTS = ("torch", "torchvision")


class Served(types.ModuleType):
    """A module of PyTorch's, with the names of ours."""

    def __init__(self, name: str, sources: Sequence["Source"]) -> None:
        super().__init__(name, f"{name}, served by Unison.")
        own = _OWN.get(name, {})
        names = [name for source in sources for name in source.names()]
        for source in reversed(sources):
            self.__dict__.update(source.ready())
        self.__dict__.update(own, _sources=tuple(sources))
        # For `from torch.nn import *`.
        self.__dict__["__all__"] = list(dict.fromkeys([*own, *names]))

    def __getattr__(self, name: str) -> Any:
        full = f"{self.__name__}.{name}"
        if full in SERVED:
            # PyTorch imports its submodules itself: `torch.nn` needs no import of its own.
            return _import(full)
        for source in self.__dict__["_sources"]:
            if source.has(name):
                return source.get(name)
        why = why_missing(name) or why_not_distributed(name)
        raise AttributeError(f"Unison (--as-torch) has no {full}{why}", name=name, obj=self)


class Source:
    """The names of one of our modules that a module of PyTorch's shows."""

    def __init__(self, text: str) -> None:
        name, _, only = text.partition(":")
        self._module = _import(name)
        self._only = only.split()

    def names(self) -> list[str]:
        """The names, those of modules left out: where those stand is PyTorch's affair."""
        listed = self._only or getattr(self._module, "__all__", None) or vars(self._module)
        return [name for name in listed if not name.startswith("_") and self.has(name)]

    def ready(self) -> dict[str, Any]:
        """The functions and classes that need no import: what `models.__dict__` is read for."""
        made = vars(self._module)
        return {name: made[name] for name in self.names() if callable(made.get(name))}

    def has(self, name: str) -> bool:
        """Whether the name is one of them."""
        if self._only and name not in self._only:
            return False
        return not isinstance(getattr(self._module, name, self._module), types.ModuleType)

    def get(self, name: str) -> Any:
        """What has the name."""
        return getattr(self._module, name)


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds `torch` and `torchvision`, here; the loader of what it finds."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,
        target: types.ModuleType | None = None,
    ) -> importlib.machinery.ModuleSpec | None:
        """The spec of a served module, None for a name of another package.

        Raises: ModuleNotFoundError for a module of PyTorch's that is not served.
        """
        if fullname.partition(".")[0] not in _ROOTS:
            return None
        if fullname not in SERVED:
            _missing(fullname)
        package = any(other.startswith(f"{fullname}.") for other in SERVED)
        return importlib.machinery.ModuleSpec(fullname, self, is_package=package)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        """The module that serves a name.

        Raises: ModuleNotFoundError if there is nothing to serve it from.
        """
        wanted = SERVED[spec.name]
        sources = [Source(text) for text in wanted if _exists(text.partition(":")[0])]
        if wanted and not sources:
            _missing(spec.name)
        return Served(spec.name, sources)

    def exec_module(self, module: types.ModuleType) -> None:
        """Nothing: the names are there already."""


def install() -> None:
    """Serve PyTorch's names to this process, and to the data workers that it starts."""
    sys.meta_path.insert(0, Finder())
    worker.first_statements.append("from launch import as_torch; as_torch.install()")


def _missing(name: str) -> NoReturn:
    last = name.rpartition(".")[2]
    why = why_missing(last) or why_not_distributed(last)
    raise ModuleNotFoundError(f"Unison (--as-torch) has no module {name}{why}", name=name)


def _exists(name: str) -> bool:
    if name in sys.modules:
        return True
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def _import(name: str) -> types.ModuleType:
    return importlib.import_module(name)
