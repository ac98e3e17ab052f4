"""The layers as functions: everything they need is an argument."""

from core.nn.functional.activation import *
from core.nn.functional.attention import *
from core.nn.functional.convolution import *
from core.nn.functional.dropout import *
from core.nn.functional.embedding import *
from core.nn.functional.linear import *
from core.nn.functional.loss import *
from core.nn.functional.normalization import *
from core.nn.functional.pooling import *
