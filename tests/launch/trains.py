"""A training that saves, stops when asked, and goes on from its last checkpoint.

`trains.py [RANK STEP TIMES]`: before its first TIMES restarts, rank RANK is killed at step STEP.
"""

import os
import pathlib
import signal
import sys
import time

import core
import ddp
from core import nn, optim
from core.data import TensorDataset
from ddp.board import stop_requested
from tests.launch.marks import written

EPOCHS, SAMPLES, BATCH = 3, 64, 8
SAVED = pathlib.Path("saved.ckpt")
BAD, AT, TIMES = map(int, sys.argv[1:] or (0, 0, 0))
folder = pathlib.Path(os.environ["UNISON_TEST_DIR"])


def everything():
    """Model, optimizer and loader, as they are before the first step."""
    core.manual_seed(0)
    x = core.randn(SAMPLES, 8)
    data = TensorDataset(x, x.sum(1, keepdim=True))
    model = ddp.DistributedDataParallel(
        nn.Sequential(
            nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 1)
        )
    )
    loader = ddp.DataLoader(data, BATCH, shuffle=True)
    return model, optim.Adam(model.parameters(), lr=0.01), loader


def save(step, epoch, model, optimizer, loader):
    """Rank 0 writes all that the rest of the training depends on; the others wait for it."""
    state = {"step": step, "epoch": epoch, "random": core.get_rng_state()}
    parts = {"model": model, "optimizer": optimizer, "loader": loader}
    state.update({name: part.state_dict() for name, part in parts.items()})
    if ddp.get_rank() == 0:
        core.save(state, SAVED)
    ddp.barrier()


def resume(model, optimizer, loader):
    """The step and the epoch at which the training goes on."""
    if not SAVED.exists():
        return 0, 0
    state = core.load(SAVED)
    for name, part in (("model", model), ("optimizer", optimizer), ("loader", loader)):
        part.load_state_dict(state[name])
    core.set_rng_state(state["random"])
    return state["step"], state["epoch"]


def wait_for_the_signal():
    """The training would be over before a slow test has sent it."""
    while not stop_requested():
        time.sleep(0.001)  # leaves the core to the others: nothing rests on how long


def main():
    """Train to the end, or until somebody asks for a stop."""
    ddp.init_process_group()
    model, optimizer, loader = everything()
    step, first = resume(model, optimizer, loader)
    for epoch in range(first, EPOCHS):
        loader.set_epoch(epoch)
        for x, y in loader:
            optimizer.zero_grad()
            nn.functional.mse_loss(model(x), y).backward()
            optimizer.step()
            step += 1
            written(folder / f"pid.{ddp.get_rank()}", f"{os.getpid()}")
            if step == 1 and os.environ.get("UNISON_TEST_SIGNALLED") == str(ddp.get_rank()):
                wait_for_the_signal()
            if ddp.get_rank() == BAD and step == AT and int(os.environ["UNISON_RESTARTS"]) < TIMES:
                os.kill(os.getpid(), signal.SIGKILL)
            stopping = ddp.should_stop()
            if stopping or step % 5 == 0:
                save(step, epoch, model, optimizer, loader)
            if stopping:
                print(f"rank {ddp.get_rank()} stopped at step {step}")
                return
    ddp.print(f"sha256 {ddp.check_sync(model)} after {step} steps")


if __name__ == "__main__":
    main()
