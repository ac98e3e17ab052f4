"""On a GPU: what a launch of each op costs the CPU, and training steps beside PyTorch eager.

python benchmarks/gpu_steps.py [--seconds 8] [--out benchmarks/results/gpu_steps.json]

Both libraries run the same programs on the same card in one process. Without PyTorch only ours is
timed; with UNISON_SIMULATED_GPUS=1 the programs run, but the figures are no GPU's.
"""

import argparse
import datetime
import importlib.util
import json
import pathlib
import platform
import statistics
import time

import numpy

import core

REPEATS = 200  # launches between two synchronisations: the queue is never full


# ---- programs that read the same in both libraries ---------------------------------------------


def mlp(lib):
    """A perceptron for 784 inputs, and a batch of 128."""
    nn = lib.nn
    model = nn.Sequential(
        nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10)
    )
    return model, (128, 784), 10


def cnn(lib):
    """The tutorials' network for handwritten digits, and a batch of 64."""
    nn = lib.nn
    model = nn.Sequential(
        nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(9216, 128), nn.ReLU(), nn.Linear(128, 10),
    )  # fmt: skip
    return model, (64, 1, 28, 28), 10


def gpt(lib):
    """Four layers of a small GPT of 256 channels, and 16 sequences of 128 tokens."""
    nn = lib.nn

    class Gpt(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding, self.place = nn.Embedding(512, 256), nn.Embedding(128, 256)
            self.layers = nn.ModuleList(
                nn.TransformerEncoderLayer(
                    256, 4, 1024, dropout=0.0, batch_first=True, norm_first=True
                )
                for _ in range(4)
            )
            self.head = nn.Linear(256, 512)

        def forward(self, tokens):
            size = tokens.shape[1]
            mask = nn.Transformer.generate_square_subsequent_mask(size).to(tokens.device)
            x = self.embedding(tokens) + self.place(lib.arange(size).to(tokens.device))
            for layer in self.layers:
                x = layer(x, src_mask=mask, is_causal=True)
            return self.head(x).reshape(-1, 512)

    return Gpt(), (16, 128), 512


PROGRAMS = {"MLP": mlp, "CNN": cnn, "GPT, 4 layers": gpt}


def stepper(lib, name):
    """A function that trains a program for one step on the GPU."""
    lib.manual_seed(0)
    model, shape, classes = PROGRAMS[name](lib)
    model = model.to("cuda")
    optimizer = lib.optim.AdamW(model.parameters(), lr=1e-4)
    loss_of = lib.nn.CrossEntropyLoss()
    rng = numpy.random.default_rng(0)
    if len(shape) == 2 and name.startswith("GPT"):
        x = lib.from_numpy(rng.integers(0, classes, shape)).to("cuda")
        y = lib.from_numpy(rng.integers(0, classes, shape[0] * shape[1])).to("cuda")
    else:
        x = lib.from_numpy(rng.standard_normal(shape).astype("float32")).to("cuda")
        y = lib.from_numpy(rng.integers(0, classes, shape[0])).to("cuda")

    def step():
        optimizer.zero_grad()
        loss = loss_of(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return step


def launches(lib):
    """{op: a call of it on small arrays}, for the cost of a launch."""
    a, b = lib.ones(1024).to("cuda"), lib.ones(1024).to("cuda")
    g = lib.ones(1024).to("cuda").requires_grad_()
    m = lib.ones(256, 256).to("cuda")
    w = lib.ones(64, 1024).to("cuda")
    return {
        "a + b": lambda: a + b,
        "a + b, recorded": lambda: g + b,
        "exp": lambda: a.exp(),
        "sum": lambda: a.sum(),
        "sum of rows": lambda: w.sum(1),
        "softmax": lambda: w.softmax(1),
        "matmul 256": lambda: m @ m,
        "a[10:20]": lambda: a[10:20],
    }


# ---- timing -----------------------------------------------------------------------------------


def per_launch(lib, call):
    """Microseconds of the CPU's time per call, the best of 7."""
    call()
    lib.cuda.synchronize()
    best = float("inf")
    for _ in range(7):
        start = time.perf_counter()
        for _ in range(REPEATS):
            call()
        best = min(best, (time.perf_counter() - start) / REPEATS)
        lib.cuda.synchronize()
    return 1e6 * best


def per_step(lib, step, seconds):
    """Milliseconds per step, the median of runs of 5 steps, and the last loss."""
    for _ in range(3):
        loss = step()
    lib.cuda.synchronize()
    times, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 3:
        start = time.perf_counter()
        for _ in range(5):
            loss = step()
        lib.cuda.synchronize()
        times.append((time.perf_counter() - start) / 5)
    return 1e3 * statistics.median(times), float(loss)


def libraries():
    """Ours, and PyTorch where it sees the GPU."""
    found = {"ours": core}
    if importlib.util.find_spec("torch") is not None:
        torch = importlib.import_module("torch")
        if torch.cuda.is_available():
            found["torch"] = torch
    return found


def measured(seconds):
    """{what: {library: figure}} of all launches and steps."""
    libs = libraries()
    table = {}
    for name in launches(core):
        table[f"launch: {name} (us)"] = {
            who: per_launch(lib, launches(lib)[name]) for who, lib in libs.items()
        }
    for name in PROGRAMS:
        row = {}
        for who, lib in libs.items():
            row[who], loss = per_step(lib, stepper(lib, name), seconds)
            print(f"{name}, {who}: {row[who]:.2f} ms, loss {loss:.4f}", flush=True)
            lib.cuda.empty_cache()
        table[f"step: {name} (ms)"] = row
    return table


def about():
    """The card, the versions and the date of these figures."""
    found = {"card": core.cuda.get_device_name(), "python": platform.python_version()}
    for name in ("numpy", "cupy", "torch"):
        if importlib.util.find_spec(name) is not None:
            found[name] = importlib.import_module(name).__version__
    return found | {"date": datetime.date.today().isoformat()}


def main():
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--seconds", type=float, default=8.0, help="per program and library")
    options.add_argument("--out", default="benchmarks/results/gpu_steps.json")
    options = options.parse_args()
    if not core.cuda.is_available():
        raise SystemExit("gpu_steps: CuPy and a GPU are needed, and there are none here")
    table, facts = measured(options.seconds), about()
    out = pathlib.Path(options.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps({"about": facts, "table": table}, indent=1) + "\n")
    print("\n" + ", ".join(f"{k} {v}" for k, v in facts.items()))
    print(f"{'':34} {'ours':>9} {'torch':>9} {'ours/torch':>11}")
    for what, row in table.items():
        theirs = row.get("torch")
        rest = "" if theirs is None else f" {theirs:9.2f} {row['ours'] / theirs:11.2f}"
        print(f"{what:34} {row['ours']:9.2f}{rest}")


if __name__ == "__main__":
    main()
