"""The training of `--selftest`: a few steps on real digits; rank 0 prints the losses as JSON."""

import json
import sys

import core
import ddp
from core import nn, optim
from core.data import DataLoader, TensorDataset
from core.vision.datasets import Digits

SAMPLES = 256
BATCH = 32


def digits() -> TensorDataset:
    """The first few hundred images and their labels."""
    part = Digits(train=True)
    images = part.data[:SAMPLES].float().reshape(SAMPLES, -1) / 16
    return TensorDataset(images, part.targets[:SAMPLES])


def train(epochs: int = 3) -> list[float]:
    """The loss over all ranks after each epoch."""
    ddp.init_process_group()
    core.manual_seed(0)
    data = digits()
    model = ddp.DistributedDataParallel(
        nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 10))
    )
    loader = DataLoader(data, BATCH // ddp.get_world_size(), sampler=ddp.DistributedSampler(data))
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    criterion = nn.CrossEntropyLoss()
    losses = []
    for _ in range(epochs):
        model.train()
        for images, labels in loader:
            optimizer.zero_grad()
            criterion(model(images), labels).backward()
            optimizer.step()
        model.eval()
        with core.no_grad():
            losses.append(criterion(model(data.tensors[0]), data.tensors[1]).item())
    ddp.check_sync(model)
    return losses


if __name__ == "__main__":
    found = train()
    if ddp.get_rank() == 0:
        sys.stdout.write(json.dumps(found) + "\n")
