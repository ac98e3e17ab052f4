"""What people know as torch.backends.cudnn. Kept, without effect (see the package)."""

benchmark = False
benchmark_limit = 10
deterministic = True
enabled = True
allow_tf32 = False


def is_available() -> bool:
    """False: nothing here depends on it."""
    return False


def version() -> None:
    """None: cuDNN is not asked."""
