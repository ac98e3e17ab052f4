"""What people know as torch.backends: settings that programs write, by kind of device.

All of them permit something (another algorithm, fewer bits in a product) and none demands it. They
are kept and have no effect: algorithms are always deterministic, and products keep their bits.
"""

from core.backends import cuda as cuda
from core.backends import cudnn as cudnn
from core.backends import mps as mps
