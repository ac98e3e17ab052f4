"""Train the digits on 1, 2, 4 and 8 ranks with 8 logical shards: one sha256, whatever the ranks."""

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from tqdm import tqdm

SCRIPT = Path(__file__).with_name("digits.py")


def sha256_of(ranks, shards, epochs):
    """The sha256 of the parameters after training on this many ranks."""
    with tempfile.TemporaryDirectory() as out:
        options = ["-n", str(ranks), "--shards", str(shards), "-q"]
        done = subprocess.run(
            [sys.executable, "-m", "launch", *options, str(SCRIPT)]
            + ["--epochs", str(epochs), "--out", out],
            capture_output=True,
            text=True,
        )
    found = re.search(r"equal on all ranks: ([0-9a-f]{64})", done.stdout)
    if done.returncode or not found:
        sys.exit(f"{ranks} ranks ended with status {done.returncode}\n{done.stdout}{done.stderr}")
    return found[1]


def main(epochs, shards, ranks):
    """Train on each number of ranks, and compare."""
    found = {}
    for count in tqdm(ranks):
        found[count] = sha256_of(count, shards, epochs)
    for count, digest in found.items():
        print(f"-n {count}  {digest}")
    same = len(set(found.values())) == 1
    print("the same bits" if same else "DIFFERENT")
    return 0 if same else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--shards", type=int, default=8)
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2, 4, 8])
    sys.exit(main(**vars(parser.parse_args())))
