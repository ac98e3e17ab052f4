"""Images: `datasets`, `models`, `transforms` and `images` (grids, files); torchvision's names."""

from core.vision import datasets as datasets
from core.vision import images as images
from core.vision import models as models
from core.vision import transforms as transforms
