"""The measurement of `--doctor`: an all-reduce of three sizes; rank 0 prints one line for each."""

import sys
import time

import ddp
from core.ops.creation import zeros

SIZES = (1_000, 1_000_000, 64_000_000)
SECONDS = 0.5


def measure(size: int) -> float:
    """The median seconds of an all-reduce of `size` bytes."""
    buffer = zeros(size // 4)
    taken: list[float] = []
    ddp.all_reduce(buffer)
    # The same number of rounds on every rank: rank 0 decides.
    rounds = [0]
    start = time.perf_counter()
    ddp.all_reduce(buffer)
    rounds[0] = max(3, min(100, int(SECONDS / (time.perf_counter() - start))))
    ddp.broadcast_object_list(rounds)
    for _ in range(rounds[0]):
        start = time.perf_counter()
        ddp.all_reduce(buffer)
        taken.append(time.perf_counter() - start)
    return sorted(taken)[len(taken) // 2]


def main() -> None:
    """Measure and print."""
    ddp.init_process_group()
    for size in SIZES:
        seconds = measure(size)
        if ddp.get_rank() == 0:
            rate = size / seconds / 1e9
            sys.stdout.write(f"{size:,} bytes in {seconds * 1e6:,.0f} us ({rate:.2f} GB/s)\n")


if __name__ == "__main__":
    main()
