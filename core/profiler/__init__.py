"""What people know as torch.profiler: where the time and the bytes of a training step go."""

from core.profiler.recording import record_function as record_function
from core.profiler.schedule import ProfilerAction as ProfilerAction
from core.profiler.schedule import schedule as schedule
from core.profiler.session import ProfilerActivity as ProfilerActivity
from core.profiler.session import profile as profile
from core.profiler.session import supported_activities as supported_activities
from core.profiler.trace import tensorboard_trace_handler as tensorboard_trace_handler

__all__ = [
    "ProfilerAction",
    "ProfilerActivity",
    "profile",
    "record_function",
    "schedule",
    "supported_activities",
    "tensorboard_trace_handler",
]
