"""What people know as torch.backends.mps: devices of another kind, which are never there."""


def is_available() -> bool:
    """False."""
    return False


def is_built() -> bool:
    """False."""
    return False
