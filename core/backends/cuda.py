"""What people know as torch.backends.cuda. Kept, without effect (see the package)."""

import contextlib
from collections.abc import Iterator

from core import cuda


class _Matmul:
    """How products are permitted to round."""

    allow_tf32 = False
    allow_fp16_reduced_precision_reduction = False
    allow_bf16_reduced_precision_reduction = False


matmul = _Matmul()


def is_built() -> bool:
    """Whether there is a GPU that this process can use."""
    return cuda.is_available()


def enable_flash_sdp(enabled: bool) -> None:
    """Nothing: there is one attention, whatever is permitted."""


@contextlib.contextmanager
def sdp_kernel(**permitted: bool) -> Iterator[None]:
    """A block in which only some ways to compute attention are permitted; nothing changes."""
    yield


enable_mem_efficient_sdp = enable_math_sdp = enable_cudnn_sdp = enable_flash_sdp
