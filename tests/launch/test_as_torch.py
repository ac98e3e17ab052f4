"""`--as-torch`: programs written for PyTorch run unchanged; what is missing is named."""

import importlib.util
import os
import pathlib
import socket
import subprocess
import sys

import numpy as np
import pytest

from launch import as_torch
from tests.launch.jobs import ROOT, alone, needs_mpi, run

FOLDER = ROOT / "tests" / "launch"
LAUNCH = ("-m", "launch", "-q", "--as-torch")


def write_mnist(folder, count=80):
    """Images that a small network tells apart: a bright row for each class."""
    raw = folder / "data" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    labels = (np.arange(count) % 10).astype(np.uint8)
    images = np.zeros((count, 28, 28), np.uint8)
    images[np.arange(count), 2 * labels + 3] = 255
    for part in ("train", "t10k"):
        for name, array in (("images-idx3", images), ("labels-idx1", labels)):
            head = b"\0\0\x08" + bytes([array.ndim])
            head += b"".join(n.to_bytes(4, "big") for n in array.shape)
            (raw / f"{part}-{name}-ubyte").write_bytes(head + array.tobytes())


def test_a_tutorials_cnn_learns_unchanged(tmp_path):
    write_mnist(tmp_path, 160)  # from any first weights: with half of them one in 75 is left behind
    ended = alone(tmp_path, *LAUNCH, FOLDER / "torch_cnn.py")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == "Accuracy: 100.00%\n" and ended.stderr == ""


def with_pytorch(folder, script, ranks):
    """What the script prints on ranks of PyTorch itself."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    environ = {**os.environ, **address, "WORLD_SIZE": str(ranks), "OMP_NUM_THREADS": "1"}
    started = [
        subprocess.Popen(
            [sys.executable, str(script)],
            cwd=folder,
            env={**environ, "RANK": str(rank)},
            stdout=subprocess.PIPE,
        )
        for rank in range(ranks)
    ]
    said = [process.communicate(timeout=120)[0].decode() for process in started]
    assert [process.returncode for process in started] == [0] * ranks
    return "".join(said)


@pytest.mark.slow
@pytest.mark.mpi
@pytest.mark.parametrize("ranks", [2])
def test_a_ddp_program_prints_what_pytorch_prints(ranks, tmp_path):
    pytest.importorskip("torch", reason="the oracle: pip install unison-ddp[parity]")
    ended = run(tmp_path, ranks, FOLDER / "torch_ddp.py", options=["--as-torch"])
    assert ended.code == 0 and ended.err == "", ended.err
    assert ended.out.count("loss") == 4
    assert ended.out == with_pytorch(tmp_path, FOLDER / "torch_ddp.py", ranks)


@pytest.mark.slow
@pytest.mark.mpi
def test_collectives_groups_and_mistakes_are_those_of_pytorch(tmp_path):
    pytest.importorskip("torch", reason="the oracle: pip install unison-ddp[parity]")
    ended = run(tmp_path, 2, FOLDER / "torch_calls.py", options=["--as-torch"])
    assert ended.code == 0 and ended.err == "", ended.err
    assert ended.out.count("Error") == 2 * 20 and ended.out.count("BXOR") == 2 * 5
    assert ended.out == with_pytorch(tmp_path, FOLDER / "torch_calls.py", 2)


SPAWNS = """
import os
import torch.distributed as dist
import torch.multiprocessing as mp

def work(rank, size):
    dist.init_process_group("gloo", rank=rank, world_size=size)
    everyone = [None] * size
    dist.all_gather_object(everyone, rank)
    assert everyone == list(range(size))
    print("rank", rank)
    dist.destroy_process_group()

if __name__ == "__main__":
    os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"] = "localhost", "29500"
    mp.spawn(work, args=(2,), nprocs=2, join=True)
"""


class TestSpawn:
    pytestmark = needs_mpi

    def test_the_ranks_are_there_already(self, tmp_path):
        (tmp_path / "spawns.py").write_text(SPAWNS)
        ended = run(tmp_path, 2, "spawns.py", options=["--as-torch"])
        assert ended.code == 0 and sorted(ended.out.splitlines()) == ["rank 0", "rank 1"]

    def test_another_number_of_processes_names_the_command(self, tmp_path):
        (tmp_path / "spawns.py").write_text(SPAWNS)
        ended = alone(tmp_path, *LAUNCH, "spawns.py")
        assert ended.returncode == 1
        assert "`python -m launch -n 2`" in ended.stderr


MISSING = {
    "import torch.fx": "ModuleNotFoundError: Unison (--as-torch) has no module torch.fx",
    "import torch; torch.fx": "AttributeError: Unison (--as-torch) has no torch.fx",
    "import torch.fft": "ModuleNotFoundError: Unison (--as-torch) has no module torch.fft: it",
    "import torch; torch.fft.fft": "AttributeError: Unison (--as-torch) has no torch.fft: it",
    "import torch; torch.complex64": "AttributeError: Unison (--as-torch) has no torch.complex64: ",
    "import torch; torch.data": "AttributeError: Unison (--as-torch) has no torch.data",
    "import torch; torch.distributed.TCPStore": (
        "AttributeError: Unison (--as-torch) has no torch.distributed.TCPStore: ranks find"
    ),
    "import torch.distributed.fsdp": (
        "ModuleNotFoundError: Unison (--as-torch) has no module torch.distributed.fsdp: of"
    ),
    "from torch import fft9": "ImportError: cannot import name 'fft9' from 'torch'",
    "from torch.nn import Nope": "ImportError: cannot import name 'Nope' from 'torch.nn'",
    "import torch; torch.nn.all_reduce": "AttributeError: Unison (--as-torch) has no torch.nn.all",
    "import torchvision.ops": "ModuleNotFoundError: Unison (--as-torch) has no module torchvis",
}
TRIES = """
for line in {lines!r}:
    try:
        exec(line)
    except Exception as error:
        print(f"{{type(error).__name__}}: {{error}}")
"""


def test_what_is_missing_is_named(tmp_path):
    (tmp_path / "script.py").write_text(TRIES.format(lines=list(MISSING)))
    ended = alone(tmp_path, *LAUNCH, "script.py")
    assert ended.returncode == 0, ended.stderr
    for said, expected in zip(ended.stdout.splitlines(), MISSING.values(), strict=True):
        assert said.startswith(expected)


SNIPPETS = """
import contextlib, io, sys, textwrap
from tests.tutorials import TUTORIALS
for tutorial, snippets in TUTORIALS.items():
    for title, text in snippets.items():
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                exec(textwrap.dedent(text), {"__name__": "__main__"})
        except Exception as error:
            print(f"{tutorial}: {title}: {type(error).__name__}: {error}")
"""


def test_every_snippet_of_the_tutorials_runs_as_it_is_written(tmp_path):
    (tmp_path / "script.py").write_text(SNIPPETS)
    ended = alone(tmp_path, *LAUNCH, "script.py")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == ""


PRESENT = """
import sys
import core, ddp
import torch, torchvision
from torch.nn import *
from torch import nn, optim, Tensor
import torch.nn.functional as F, torch.nn.init as init, torch.cuda.amp, torch.nn.utils.rnn
from torch.cuda.amp import GradScaler, autocast
from torch.utils.checkpoint import checkpoint
from torch.utils.data.distributed import DistributedSampler
assert torch.nn.Module is nn.Module is core.nn.Module is Module and Tensor is core.Tensor
assert torch.nn.parallel.DistributedDataParallel is ddp.DistributedDataParallel
assert torch.distributed.nn.functional.all_gather is torch.distributed.nn.all_gather
assert torch.distributed.distributed_c10d.ReduceOp is torch.distributed.ReduceOp is ddp.ReduceOp
assert torch.optim.lr_scheduler.StepLR is core.optim.lr_scheduler.StepLR
assert torch.float32 is core.float32 and torch.distributed.ReduceOp is ddp.ReduceOp
assert not torch.cuda.is_available() and torch.cuda.device_count() == 0
torch.backends.cudnn.benchmark = True
torch.backends.cuda.matmul.allow_tf32 = True
import torch.backends.cudnn as cudnn
assert cudnn.benchmark is True and not torch.backends.mps.is_available()
assert torch.accelerator.current_accelerator() is None
torch.set_num_threads(1)
from torch.autograd.function import once_differentiable
from torch.distributed.algorithms.ddp_comm_hooks import default_hooks, powerSGD_hook
assert default_hooks.fp16_compress_hook is ddp.fp16_compress_hook
from torch.optim.lr_scheduler import _LRScheduler, LRScheduler
assert _LRScheduler is LRScheduler and torch.distributed.group.WORLD is None
from torch.func import functional_call
torch.cuda.manual_seed_all(0)
from torch.profiler import ProfilerActivity, profile, record_function, schedule
import torch.utils.benchmark as benchmark
with profile(activities=[ProfilerActivity.CPU]) as prof, torch.profiler.record_function("sum"):
    torch.autograd.profiler.record_function("all")(torch.ones(2).sum)()
assert "aten::sum" in prof.key_averages().table(sort_by="self_cuda_time_total", row_limit=-1)
found = benchmark.Timer("torch.add(x, x)", globals={"x": torch.ones(2)}, label="add").timeit(2)
assert "add" in str(benchmark.Compare([found]))
from torch.nn.modules.batchnorm import _BatchNorm, _NormBase
from torch.nn.modules.instancenorm import _InstanceNorm
from torch.nn.modules.loss import MSELoss, _Loss, _WeightedLoss
from torch.nn.modules.utils import _ntuple, _pair, _quadruple, _single, _triple
from torch.cuda.amp.autocast_mode import autocast as older
from torch.amp.grad_scaler import GradScaler
from torch.autograd.grad_mode import no_grad
from torch.distributions.utils import broadcast_all
from torch.optim.adamw import AdamW
from torch.utils.data._utils.collate import default_collate
from torch.utils.tensorboard.writer import SummaryWriter
assert issubclass(_BatchNorm, _NormBase) and issubclass(_InstanceNorm, _NormBase)
assert issubclass(torch.nn.BatchNorm2d, _NormBase) and not issubclass(torch.nn.LayerNorm, _NormBase)
assert issubclass(MSELoss, _Loss) and issubclass(torch.nn.CrossEntropyLoss, _WeightedLoss)
assert _pair(3) == (3, 3) and _pair([1, 2]) == (1, 2) and _ntuple(5)("a") == ("a",)
assert [_single(0), _triple(0), _quadruple(0)] == [(0,), (0,) * 3, (0,) * 4]
assert GradScaler is torch.GradScaler is core.GradScaler and older is torch.cuda.amp.autocast
assert no_grad is torch.no_grad and AdamW is torch.optim.AdamW
assert torch.autograd.graph.saved_tensors_hooks and torch.autograd.forward_ad.dual_level
assert len(broadcast_all(1.0, torch.ones(2))[0]) == 2 and default_collate([1, 2]).tolist() == [1, 2]
import torchvision
found = torchvision.models.__dict__
assert {"resnet18", "vgg16"} <= {name for name in found if name.islower() and callable(found[name])}
assert "torch" not in vars(core) and not [n for n in sys.modules if n.startswith("core.torch")]
assert core.nn.__name__ == "core.nn" and core.nn.__spec__.name == "core.nn"
"""


def test_names_are_ours_and_the_packages_stay_clean(tmp_path):
    (tmp_path / "script.py").write_text(PRESENT)
    ended = alone(tmp_path, *LAUNCH, "script.py", env={"CUDA_VISIBLE_DEVICES": ""})
    assert ended.returncode == 0, ended.stderr


def test_the_table_names_modules_that_pytorch_has():
    pytest.importorskip("torch", reason="the oracle: pip install unison-ddp[parity]")
    torch = pathlib.Path(importlib.util.find_spec("torch").origin).parent
    names = [name for name in as_torch.SERVED if name.startswith("torch.")]
    paths = [torch.joinpath(*name.split(".")[1:]) for name in names]
    assert [p for p in paths if not p.is_dir() and not p.with_suffix(".py").exists()] == []
