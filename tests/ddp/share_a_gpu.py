"""What tests/ddp/test_nccl_mpi.py starts on each MPI rank: all of them on one simulated GPU."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

import core
import ddp
from ddp.backends.by_host import HostGroup


def main(backend):
    """Every kind of call, of arrays on the one GPU."""
    group = ddp.init_process_group(backend)
    assert isinstance(group, HostGroup) and group.name == "mpi"
    x = core.ones(3, device="cuda") * (1 + group.rank)
    ddp.all_reduce(x)
    assert x.tolist() == [group.size * (group.size + 1) / 2] * 3
    model = ddp.DistributedDataParallel(core.nn.Linear(3, 2).cuda())
    model(x[None]).sum().backward()
    assert len(ddp.check_sync(model)) > 0
    outs = [core.zeros(2, device="cuda") for _ in range(group.size)]
    ddp.all_gather(outs, core.full((2,), float(group.rank), device="cuda"))
    assert [out.tolist() for out in outs] == [[float(r)] * 2 for r in range(group.size)]
    if group.rank == 0:
        for r in range(1, group.size):
            ddp.send(outs[r], r)
    else:
        ddp.recv(x[:2], 0)
        assert x.tolist()[:2] == [group.rank] * 2
    ddp.destroy_process_group()
    if group.rank == 0:
        print("ok")


main(sys.argv[1])
