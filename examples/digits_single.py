"""Train a small CNN on 1,797 handwritten digits: accuracy, a loss curve and a checkpoint."""

import argparse
from pathlib import Path

import matplotlib
from tqdm import tqdm

import core
from core import nn, optim
from core.data import DataLoader, TensorDataset, random_split
from core.vision.datasets import Digits

matplotlib.use("Agg")
from matplotlib import pyplot as plt  # after the backend is chosen


def digits():
    """1,437 images to train with and 360 to test with, drawn at random, with values in [0, 1]."""
    every = Digits()
    images = every.data.float().unsqueeze(1) / 16
    dataset = TensorDataset(images, every.targets)
    return random_split(dataset, [1437, 360], generator=core.Generator().manual_seed(1))


def cnn():
    """Two convolutions and two linear layers."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(),
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Dropout(0.3),
        nn.Linear(64 * 4 * 4, 128), nn.ReLU(),
        nn.Linear(128, 10),
    )  # fmt: skip


def accuracy(model, loader):
    """The fraction of the test images that the model names right, each counted once."""
    model.eval()
    counts = core.zeros(2)
    with core.no_grad():
        for images, labels in loader:
            right = (model(images).argmax(1) == labels).sum()
            counts += core.tensor([right.item(), len(labels)])
    return (counts[0] / counts[1]).item()


def report(found, losses, model, out):
    """Print the accuracy; write the loss curve and the trained parameters."""
    print(f"test accuracy {found:.2%}")
    plt.plot(losses)
    plt.xlabel("step")
    plt.ylabel("loss")
    plt.savefig(Path(out) / "digits_loss.png")
    core.save(model.state_dict(), Path(out) / "digits.ckpt")


def main(epochs, batch_size, out):
    """Train, evaluate and report; the test accuracy."""
    core.manual_seed(0)
    train, test = digits()
    model = cnn()
    train_loader = DataLoader(train, batch_size, shuffle=True)
    test_loader = DataLoader(test, 64)
    optimizer = optim.Adam(model.parameters(), lr=2e-3)
    criterion = nn.CrossEntropyLoss()
    losses = []
    for _ in (bar := tqdm(range(epochs))):
        model.train()
        for images, labels in train_loader:
            optimizer.zero_grad()
            loss = criterion(model(images), labels)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        bar.set_postfix(loss=f"{losses[-1]:.4f}")
    found = accuracy(model, test_loader)
    report(found, losses, model, out)
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=16)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--out", default=".")
    main(**vars(parser.parse_args()))
