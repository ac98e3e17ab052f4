"""The layers as functions: everything they need is an argument."""

from core.nn.functional.activation import *
from core.nn.functional.alignment import *
from core.nn.functional.attention import *
from core.nn.functional.averaging import *
from core.nn.functional.convolution import *
from core.nn.functional.dropout import *
from core.nn.functional.embedding import *
from core.nn.functional.folding import *
from core.nn.functional.linear import *
from core.nn.functional.loss import *
from core.nn.functional.margin import *
from core.nn.functional.normalization import *
from core.nn.functional.pooling import *
from core.nn.functional.regression import *
from core.nn.functional.sampling import *
from core.ops.distance import cosine_similarity as cosine_similarity
from core.ops.distance import pairwise_distance as pairwise_distance
