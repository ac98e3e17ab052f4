"""What people know as torch.utils.tensorboard: files that TensorBoard shows."""

from core.tensorboard.writer import SummaryWriter as SummaryWriter

__all__ = ["SummaryWriter"]
