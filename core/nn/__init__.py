"""Layers, losses and what they are made of."""

from core.nn import functional as functional
from core.nn import init as init
from core.nn.activation import ReLU as ReLU
from core.nn.container import Sequential as Sequential
from core.nn.conv import Conv1d as Conv1d
from core.nn.conv import Conv2d as Conv2d
from core.nn.conv import Conv3d as Conv3d
from core.nn.conv import ConvTranspose1d as ConvTranspose1d
from core.nn.conv import ConvTranspose2d as ConvTranspose2d
from core.nn.conv import ConvTranspose3d as ConvTranspose3d
from core.nn.dropout import Dropout as Dropout
from core.nn.linear import Identity as Identity
from core.nn.linear import Linear as Linear
from core.nn.loss import CrossEntropyLoss as CrossEntropyLoss
from core.nn.loss import MSELoss as MSELoss
from core.nn.loss import NLLLoss as NLLLoss
from core.nn.module import Module as Module
from core.nn.parameter import Buffer as Buffer
from core.nn.parameter import Parameter as Parameter
from core.nn.pooling import MaxPool1d as MaxPool1d
from core.nn.pooling import MaxPool2d as MaxPool2d
from core.nn.pooling import MaxPool3d as MaxPool3d
from core.nn.shape import Flatten as Flatten
