"""Transforms of images under torchvision's names.

An image is a NumPy array (H, W) or (H, W, C), a tensor (..., H, W), or a PIL image; a transform
gives back the kind it got, unless its name says otherwise. Random ones draw from core.random.
"""

from core.vision.transforms import functional as functional
from core.vision.transforms.color import ColorJitter as ColorJitter
from core.vision.transforms.color import Grayscale as Grayscale
from core.vision.transforms.color import RandomGrayscale as RandomGrayscale
from core.vision.transforms.compose import Compose as Compose
from core.vision.transforms.compose import Lambda as Lambda
from core.vision.transforms.compose import RandomApply as RandomApply
from core.vision.transforms.compose import RandomChoice as RandomChoice
from core.vision.transforms.compose import RandomOrder as RandomOrder
from core.vision.transforms.geometry import CenterCrop as CenterCrop
from core.vision.transforms.geometry import InterpolationMode as InterpolationMode
from core.vision.transforms.geometry import Pad as Pad
from core.vision.transforms.geometry import RandomCrop as RandomCrop
from core.vision.transforms.geometry import RandomHorizontalFlip as RandomHorizontalFlip
from core.vision.transforms.geometry import RandomResizedCrop as RandomResizedCrop
from core.vision.transforms.geometry import RandomRotation as RandomRotation
from core.vision.transforms.geometry import RandomVerticalFlip as RandomVerticalFlip
from core.vision.transforms.geometry import Resize as Resize
from core.vision.transforms.tensors import ConvertImageDtype as ConvertImageDtype
from core.vision.transforms.tensors import GaussianNoise as GaussianNoise
from core.vision.transforms.tensors import Normalize as Normalize
from core.vision.transforms.tensors import PILToTensor as PILToTensor
from core.vision.transforms.tensors import RandomErasing as RandomErasing
from core.vision.transforms.tensors import ToPILImage as ToPILImage
from core.vision.transforms.tensors import ToTensor as ToTensor

__all__ = [
    "functional",
    "CenterCrop",
    "ColorJitter",
    "Compose",
    "ConvertImageDtype",
    "GaussianNoise",
    "Grayscale",
    "InterpolationMode",
    "Lambda",
    "Normalize",
    "PILToTensor",
    "Pad",
    "RandomApply",
    "RandomChoice",
    "RandomCrop",
    "RandomErasing",
    "RandomGrayscale",
    "RandomHorizontalFlip",
    "RandomOrder",
    "RandomResizedCrop",
    "RandomRotation",
    "RandomVerticalFlip",
    "Resize",
    "ToPILImage",
    "ToTensor",
]
