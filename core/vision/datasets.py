"""Image datasets under torchvision's names."""

from core.vision.cifar import CIFAR10 as CIFAR10
from core.vision.cifar import CIFAR100 as CIFAR100
from core.vision.dataset import Digits as Digits
from core.vision.dataset import FakeData as FakeData
from core.vision.dataset import VisionDataset as VisionDataset
from core.vision.folder import DatasetFolder as DatasetFolder
from core.vision.folder import ImageFolder as ImageFolder
from core.vision.mnist import EMNIST as EMNIST
from core.vision.mnist import KMNIST as KMNIST
from core.vision.mnist import MNIST as MNIST
from core.vision.mnist import FashionMNIST as FashionMNIST
