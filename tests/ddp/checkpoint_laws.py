"""Laws of checkpoints of many ranks, as functions that every rank runs."""

import os
import pathlib
import tempfile

import core
import ddp
from core import nn, optim
from core.amp import GradScaler
from core.data import TensorDataset
from ddp.current_group import current_group


def shared_folder():
    """One folder that all ranks name; rank 0 removes it."""
    made = tempfile.TemporaryDirectory() if current_group().rank == 0 else None
    box = [made.name if made else None]
    current_group().broadcast_object_list(box)
    return made, pathlib.Path(box[0])


def one_rank_writes_and_reads():
    """All get what rank 0 saved, from a file that only rank 0 can see."""
    group = current_group()
    made, folder = shared_folder()
    ddp.save({"x": core.full((3,), float(group.rank)), "step": 7}, folder / "one.ckpt")
    assert os.listdir(folder) == ["one.ckpt"]
    group.barrier()
    mine = folder / "one.ckpt" if group.rank == 0 else "/nowhere/at/all.ckpt"
    found = ddp.load(mine)
    assert found["step"] == 7 and found["x"].tolist() == [0.0] * 3
    if made:
        made.cleanup()


def what_fails_on_rank_0_fails_on_all():
    """With its reason; afterwards the ranks go on together."""
    group = current_group()
    for call, words in (
        (lambda: ddp.save({"x": 1}, "/nowhere/at/all.ckpt"), "No such file"),
        (lambda: ddp.save({"x": object()}, "/nowhere/at/all.ckpt"), "object"),
        (lambda: ddp.load("/nowhere/at/all.ckpt"), "No such file"),
    ):
        try:
            call()
        except (OSError, TypeError, RuntimeError) as error:
            assert words in str(error)
            assert group.rank == 0 or "rank 0 could not" in str(error)
        else:
            raise AssertionError("nothing was raised")
    group.barrier()


def trained(steps, path, stop):
    """The bits after `steps` steps; a checkpoint is left at step `stop`, or begun from."""
    core.manual_seed(11)
    model = ddp.DistributedDataParallel(
        nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 2))
    )
    optimizer = optim.AdamW(model.parameters(), lr=0.01)
    xs = core.arange(192.0).reshape(48, 4) / 192
    parts = {
        "model": model,
        "optimizer": optimizer,
        "scheduler": optim.lr_scheduler.CosineAnnealingLR(optimizer, 10),
        "scaler": GradScaler("cpu", init_scale=8.0, growth_interval=2),
        "loader": ddp.DataLoader(TensorDataset(xs, xs[:, :2]), 16, shuffle=True),
    }
    step = 0
    if path.exists():
        state = ddp.load(path)
        for name, part in parts.items():
            part.load_state_dict(state[name])
        core.set_rng_state(state["random"])
        step = state["step"]
    while step < steps:
        for x, y in parts["loader"]:
            optimizer.zero_grad()
            parts["scaler"].scale(nn.functional.mse_loss(model(x), y)).backward()
            parts["scaler"].step(optimizer)
            parts["scaler"].update()
            parts["scheduler"].step()
            step += 1
            if step == stop:
                state = {name: part.state_dict() for name, part in parts.items()}
                ddp.save({**state, "random": core.get_rng_state(), "step": step}, path)
            if step == steps:
                break
    return ddp.check_sync(model), parts["scaler"].get_scale(), optimizer.param_groups[0]["lr"]


def a_run_that_stops_in_an_epoch_has_the_bits_of_one_that_did_not():
    """Model, optimizer, scheduler, scaler, loader and random numbers, from one file."""
    group = current_group()
    if 8 % group.size:
        return
    made, folder = shared_folder()
    whole = trained(10, folder / "whole.ckpt", None)
    trained(4, folder / "run.ckpt", 4)
    assert trained(10, folder / "run.ckpt", None) == whole
    group.barrier()
    if made:
        made.cleanup()


LAWS = [
    one_rank_writes_and_reads,
    what_fails_on_rank_0_fails_on_all,
    a_run_that_stops_in_an_epoch_has_the_bits_of_one_that_did_not,
]
