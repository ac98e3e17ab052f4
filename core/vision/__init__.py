"""Images: `datasets`, `models` and `transforms`, under torchvision's names."""

from core.vision import datasets as datasets
from core.vision import models as models
from core.vision import transforms as transforms
