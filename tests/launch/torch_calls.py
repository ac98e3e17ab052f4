"""A program that calls what torch.distributed has beside models, and prints what comes of it."""

from datetime import timedelta

import torch
import torch.distributed as dist

DTYPES = "bool uint8 int8 int32 int64 float16 bfloat16 float32 float64".split()


def shown(x):
    if isinstance(x, torch.Tensor):
        return f"{str(x.dtype).rpartition('.')[2]}{x.tolist()}"
    if isinstance(x, (list, tuple)):
        return [shown(part) for part in x]
    return x


def tried(call):
    """What a call gives, or the type of the error that it raises before anything is sent."""
    try:
        return shown(call())
    except (TypeError, ValueError) as error:
        return type(error).__name__


def reductions(rank):
    for name in ("SUM", "PRODUCT", "MIN", "MAX", "BAND", "BOR", "BXOR", "AVG"):
        for kind in DTYPES:
            whole = kind.startswith(("bool", "int", "uint"))
            if whole != (name == "AVG") and (whole or not name.startswith("B")):
                x = torch.tensor([rank + 1, 0, rank]).to(getattr(torch, kind))
                dist.all_reduce(x, getattr(dist.ReduceOp, name))
                yield name, kind, shown(x)


def collectives(rank, size):
    x, ones = torch.arange(4.0) + 10 * rank, torch.ones(2)
    outs = [torch.zeros(4) for _ in range(size)]
    dist.all_gather(outs, x)
    yield shown(outs)
    mine = outs if rank == 0 else []
    dist.gather(x * 2, mine)
    yield shown(mine)
    part = torch.zeros(4)
    dist.scatter(part, outs if rank == 1 else None, src=1)
    yield shown(part)
    flat = torch.zeros(4 * size)
    dist.all_gather_single(flat, x)
    yield shown(flat)
    share = torch.zeros(4)
    dist.reduce_scatter_single(share, flat)
    yield shown(share)
    even = torch.zeros(4)
    dist.all_to_all_single(even, x)
    yield shown(even)
    work = dist.all_reduce(ones, async_op=True)
    done = work.wait(timedelta(seconds=50)), work.is_success(), work.exception()
    yield done, shown(work.result()), shown(work.get_future().value())
    if rank == 0:
        dist.send(x, 1, tag=3)
    elif rank == 1:
        yield dist.recv(part, tag=3), shown(part)
    objects = [rank, {"rank": rank}]
    dist.broadcast_object_list(objects, src=1)
    yield objects


def groups(rank, size):
    mine, every = dist.new_subgroups(1)
    yield dist.get_process_group_ranks(mine), [dist.get_rank(group) for group in every]
    mine, every = dist.new_subgroups_by_enumeration([[1], [0]])
    yield dist.get_process_group_ranks(mine), dist.get_world_size(mine), len(every)
    mine, every = dist.new_subgroups_by_enumeration([[0]])
    yield mine is None, every[0] == dist.GroupMember.NON_GROUP_MEMBER
    pair = dist.new_group([1, 0], timeout=timedelta(seconds=50))
    yield dist.get_group_rank(pair, 1), dist.get_global_rank(pair, 0)
    yield dist.get_rank(pair), dist.get_node_local_rank(fallback_rank=rank)


def mistakes(rank, size):
    x, many = torch.ones(1), [torch.ones(1)] * size
    other = (rank + 1) % size
    yield tried(lambda: dist.init_process_group("gloo", rank=rank, world_size=size))
    yield tried(lambda: dist.gather(x, many, dst=other))
    yield tried(lambda: dist.gather(x, None, dst=rank))
    yield tried(lambda: dist.scatter(x, many, src=other))
    yield tried(lambda: dist.scatter(x, None, src=rank))
    yield tried(lambda: dist.gather_object(1, [None] * size, dst=other))
    yield tried(lambda: dist.scatter_object_list([], [1] * size, src=rank))
    yield tried(lambda: dist.all_to_all(many, [x, x.long()]))
    yield tried(lambda: dist.reduce(x))
    yield tried(lambda: dist.send(x, rank))
    yield tried(lambda: dist.send(x))
    yield tried(lambda: dist.all_reduce(3))
    yield tried(lambda: dist.P2POp(dist.send, x, other))
    yield tried(lambda: dist.batch_isend_irecv(dist.P2POp(dist.isend, x, other)))
    yield tried(lambda: dist.new_group([0, 0]))
    yield tried(lambda: dist.new_group([0, size]))
    yield tried(lambda: dist.new_subgroups(0))
    yield tried(lambda: dist.new_subgroups(size + 1))
    yield tried(lambda: dist.new_subgroups_by_enumeration([[0], [0]]))
    yield tried(lambda: dist.Backend(3))


if __name__ == "__main__":
    dist.init_process_group("gloo")
    place = dist.get_rank(), dist.get_world_size()
    said = [*reductions(place[0]), *collectives(*place), *groups(*place), *mistakes(*place)]
    every = [None] * place[1]
    dist.all_gather_object(every, said)
    if place[0] == 0:
        for number, lines in enumerate(every):
            for line in lines:
                print(number, line)
    dist.destroy_process_group()
