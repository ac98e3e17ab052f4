"""What scripts ask and call before there is a group, under PyTorch's names."""

import os
import subprocess
import sys

import pytest

import core
import ddp
from tests.launch.jobs import needs_mpi


def test_the_idiom_of_scripts_that_run_alone_too():
    assert ddp.is_available() and not ddp.is_initialized()
    assert ddp.is_nccl_available() and ddp.is_gloo_available() and ddp.is_mpi_available()
    assert not ddp.is_torchelastic_launched()


@pytest.mark.parametrize("backend", ["cpu", "cuda", "cuda:1"])
def test_the_default_backend_of_a_device_is_one_that_a_group_takes(backend):
    name = ddp.get_default_backend_for_device(backend)
    assert name == ("nccl" if backend.startswith("cuda") else "mpi")


def test_the_names_of_backends_are_pytorchs():
    assert ddp.Backend("NCCL") == ddp.Backend.NCCL == "nccl" != ddp.Backend.GLOO
    with pytest.raises(ValueError, match="a string, got 3"):
        ddp.Backend(3)
    assert ddp.is_backend_available("GLOO") and not ddp.is_backend_available("pigeon")
    assert not ddp.is_ucc_available() and not ddp.is_xccl_available()


def test_the_rank_on_the_node_is_known_before_there_is_a_group(monkeypatch):
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    assert ddp.get_node_local_rank() == 0 and ddp.get_node_local_rank(fallback_rank=3) == 3
    assert ddp.simulate(lambda: ddp.get_node_local_rank(fallback_rank=3), 2) == [0, 1]
    monkeypatch.setenv("LOCAL_RANK", "2")
    assert ddp.get_node_local_rank(fallback_rank=3) == 2


def test_older_and_newer_names_of_the_same():
    with pytest.warns(FutureWarning, match="use `ReduceOp`"):
        assert ddp.reduce_op.MAX is ddp.ReduceOp.MAX
    assert not hasattr(ddp.reduce_op, "MEDIAN")
    assert ddp.all_gather_single is ddp.all_gather_into_tensor
    assert ddp.default_pg_timeout.total_seconds() == 600
    assert issubclass(ddp.CollectiveTimeoutError, ddp.DistBackendError)
    assert issubclass(ddp.DistError, RuntimeError)


def test_what_is_left_out_of_torch_distributed_says_why():
    with pytest.raises(AttributeError, match="'TCPStore': ranks find each other without a store"):
        ddp.TCPStore  # noqa: B018
    with pytest.raises(AttributeError, match="'rpc': of parallel training only"):
        ddp.rpc  # noqa: B018
    with pytest.raises(AttributeError, match=r"no attribute 'pigeon'$"):
        ddp.pigeon  # noqa: B018


def test_the_groups_names_stand_for_the_default_group():
    def total():
        x = [ddp.get_rank() + 1.0]
        out = [[None] * 2, [None] * 2]
        ddp.all_gather_object(out[0], x, group=ddp.group.WORLD)
        ddp.all_gather_object(out[1], x, group=ddp.GroupMember.WORLD)
        return out

    assert ddp.simulate(total, size=2) == [[[[1.0], [2.0]]] * 2] * 2


def test_spawn_of_one_runs_here(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    calls = []
    ddp.spawn(lambda *args: calls.append(args), args=("a",), nprocs=1)
    assert calls == [(0, "a")]


def test_spawn_of_more_names_the_command(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with pytest.raises(RuntimeError, match="`python -m launch -n 4`"):
        ddp.spawn(print, nprocs=4)


class TestWrongLauncher:
    pytestmark = needs_mpi

    @pytest.mark.parametrize("imports", ["", "from mpi4py import MPI; "])
    def test_ranks_of_another_launcher_are_not_each_rank_0_of_1(self, imports):
        """torchrun, or the mpirun of another MPI: the environment counts two, MPI one."""
        code = f"{imports}import ddp; ddp.init_process_group()"
        found = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "WORLD_SIZE": "2", "RANK": "1"},
            capture_output=True,
            text=True,
        )
        assert found.returncode == 1
        assert "RuntimeError: this is one of 2 processes, says the environment" in found.stderr


@pytest.mark.parametrize("make", [ddp.DistributedSampler, ddp.DataLoader])
def test_what_shares_samples_out_before_there_is_a_group_is_refused(make, monkeypatch):
    data = core.data.TensorDataset(core.arange(8))
    assert len(make(data)) == 8
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(RuntimeError, match=r"job of 2 ranks, .* call ddp.init_process_group\(\)"):
        make(data)
    assert len(ddp.DistributedSampler(data, 2, 1)) == 4
