"""The layers as functions: everything they need is an argument."""

from core.autograd.demand import found_in as _found_in
from core.autograd.demand import of_tensors as _of_tensors
from core.nn.functional.activation import celu as celu
from core.nn.functional.activation import celu_ as celu_
from core.nn.functional.activation import elu as elu
from core.nn.functional.activation import elu_ as elu_
from core.nn.functional.activation import gelu as gelu
from core.nn.functional.activation import glu as glu
from core.nn.functional.activation import gumbel_softmax as gumbel_softmax
from core.nn.functional.activation import hardshrink as hardshrink
from core.nn.functional.activation import hardsigmoid as hardsigmoid
from core.nn.functional.activation import hardswish as hardswish
from core.nn.functional.activation import hardtanh as hardtanh
from core.nn.functional.activation import hardtanh_ as hardtanh_
from core.nn.functional.activation import leaky_relu as leaky_relu
from core.nn.functional.activation import leaky_relu_ as leaky_relu_
from core.nn.functional.activation import log_softmax as log_softmax
from core.nn.functional.activation import logsigmoid as logsigmoid
from core.nn.functional.activation import mish as mish
from core.nn.functional.activation import prelu as prelu
from core.nn.functional.activation import relu as relu
from core.nn.functional.activation import relu6 as relu6
from core.nn.functional.activation import relu_ as relu_
from core.nn.functional.activation import rrelu as rrelu
from core.nn.functional.activation import rrelu_ as rrelu_
from core.nn.functional.activation import selu as selu
from core.nn.functional.activation import selu_ as selu_
from core.nn.functional.activation import sigmoid as sigmoid
from core.nn.functional.activation import silu as silu
from core.nn.functional.activation import softmax as softmax
from core.nn.functional.activation import softmin as softmin
from core.nn.functional.activation import softplus as softplus
from core.nn.functional.activation import softshrink as softshrink
from core.nn.functional.activation import softsign as softsign
from core.nn.functional.activation import tanh as tanh
from core.nn.functional.activation import tanhshrink as tanhshrink
from core.nn.functional.activation import threshold as threshold
from core.nn.functional.activation import threshold_ as threshold_
from core.nn.functional.alignment import ctc_loss as ctc_loss
from core.nn.functional.attention import (
    multi_head_attention_forward as multi_head_attention_forward,
)
from core.nn.functional.attention import (
    scaled_dot_product_attention as scaled_dot_product_attention,
)
from core.nn.functional.averaging import adaptive_avg_pool1d as adaptive_avg_pool1d
from core.nn.functional.averaging import adaptive_avg_pool2d as adaptive_avg_pool2d
from core.nn.functional.averaging import adaptive_avg_pool3d as adaptive_avg_pool3d
from core.nn.functional.averaging import adaptive_max_pool1d as adaptive_max_pool1d
from core.nn.functional.averaging import (
    adaptive_max_pool1d_with_indices as adaptive_max_pool1d_with_indices,
)
from core.nn.functional.averaging import adaptive_max_pool2d as adaptive_max_pool2d
from core.nn.functional.averaging import (
    adaptive_max_pool2d_with_indices as adaptive_max_pool2d_with_indices,
)
from core.nn.functional.averaging import adaptive_max_pool3d as adaptive_max_pool3d
from core.nn.functional.averaging import (
    adaptive_max_pool3d_with_indices as adaptive_max_pool3d_with_indices,
)
from core.nn.functional.averaging import avg_pool1d as avg_pool1d
from core.nn.functional.averaging import avg_pool2d as avg_pool2d
from core.nn.functional.averaging import avg_pool3d as avg_pool3d
from core.nn.functional.averaging import fractional_max_pool2d as fractional_max_pool2d
from core.nn.functional.averaging import (
    fractional_max_pool2d_with_indices as fractional_max_pool2d_with_indices,
)
from core.nn.functional.averaging import fractional_max_pool3d as fractional_max_pool3d
from core.nn.functional.averaging import (
    fractional_max_pool3d_with_indices as fractional_max_pool3d_with_indices,
)
from core.nn.functional.averaging import lp_pool1d as lp_pool1d
from core.nn.functional.averaging import lp_pool2d as lp_pool2d
from core.nn.functional.averaging import lp_pool3d as lp_pool3d
from core.nn.functional.averaging import max_unpool1d as max_unpool1d
from core.nn.functional.averaging import max_unpool2d as max_unpool2d
from core.nn.functional.averaging import max_unpool3d as max_unpool3d
from core.nn.functional.convolution import conv1d as conv1d
from core.nn.functional.convolution import conv2d as conv2d
from core.nn.functional.convolution import conv3d as conv3d
from core.nn.functional.convolution import conv_tbc as conv_tbc
from core.nn.functional.convolution import conv_transpose1d as conv_transpose1d
from core.nn.functional.convolution import conv_transpose2d as conv_transpose2d
from core.nn.functional.convolution import conv_transpose3d as conv_transpose3d
from core.nn.functional.folding import channel_shuffle as channel_shuffle
from core.nn.functional.folding import fold as fold
from core.nn.functional.folding import pixel_shuffle as pixel_shuffle
from core.nn.functional.folding import pixel_unshuffle as pixel_unshuffle
from core.nn.functional.folding import unfold as unfold
from core.nn.functional.linear_loss import linear_cross_entropy as linear_cross_entropy
from core.nn.functional.loss import cross_entropy as cross_entropy
from core.nn.functional.loss import mse_loss as mse_loss
from core.nn.functional.loss import nll_loss as nll_loss
from core.nn.functional.margin import cosine_embedding_loss as cosine_embedding_loss
from core.nn.functional.margin import hinge_embedding_loss as hinge_embedding_loss
from core.nn.functional.margin import margin_ranking_loss as margin_ranking_loss
from core.nn.functional.margin import multi_margin_loss as multi_margin_loss
from core.nn.functional.margin import multilabel_margin_loss as multilabel_margin_loss
from core.nn.functional.margin import multilabel_soft_margin_loss as multilabel_soft_margin_loss
from core.nn.functional.margin import soft_margin_loss as soft_margin_loss
from core.nn.functional.margin import triplet_margin_loss as triplet_margin_loss
from core.nn.functional.margin import (
    triplet_margin_with_distance_loss as triplet_margin_with_distance_loss,
)
from core.nn.functional.masking import alpha_dropout as alpha_dropout
from core.nn.functional.masking import dropout as dropout
from core.nn.functional.masking import dropout1d as dropout1d
from core.nn.functional.masking import dropout2d as dropout2d
from core.nn.functional.masking import dropout3d as dropout3d
from core.nn.functional.masking import feature_alpha_dropout as feature_alpha_dropout
from core.nn.functional.normalization import batch_norm as batch_norm
from core.nn.functional.normalization import group_norm as group_norm
from core.nn.functional.normalization import instance_norm as instance_norm
from core.nn.functional.normalization import layer_norm as layer_norm
from core.nn.functional.normalization import local_response_norm as local_response_norm
from core.nn.functional.normalization import normalize as normalize
from core.nn.functional.normalization import rms_norm as rms_norm
from core.nn.functional.pooling import max_pool1d as max_pool1d
from core.nn.functional.pooling import max_pool1d_with_indices as max_pool1d_with_indices
from core.nn.functional.pooling import max_pool2d as max_pool2d
from core.nn.functional.pooling import max_pool2d_with_indices as max_pool2d_with_indices
from core.nn.functional.pooling import max_pool3d as max_pool3d
from core.nn.functional.pooling import max_pool3d_with_indices as max_pool3d_with_indices
from core.nn.functional.products import bilinear as bilinear
from core.nn.functional.products import linear as linear
from core.nn.functional.products import pad as pad
from core.nn.functional.regression import binary_cross_entropy as binary_cross_entropy
from core.nn.functional.regression import (
    binary_cross_entropy_with_logits as binary_cross_entropy_with_logits,
)
from core.nn.functional.regression import gaussian_nll_loss as gaussian_nll_loss
from core.nn.functional.regression import huber_loss as huber_loss
from core.nn.functional.regression import kl_div as kl_div
from core.nn.functional.regression import l1_loss as l1_loss
from core.nn.functional.regression import poisson_nll_loss as poisson_nll_loss
from core.nn.functional.regression import smooth_l1_loss as smooth_l1_loss
from core.nn.functional.sampling import affine_grid as affine_grid
from core.nn.functional.sampling import grid_sample as grid_sample
from core.nn.functional.sampling import interpolate as interpolate
from core.nn.functional.sampling import upsample as upsample
from core.nn.functional.sampling import upsample_bilinear as upsample_bilinear
from core.nn.functional.sampling import upsample_nearest as upsample_nearest
from core.nn.functional.tables import embedding as embedding
from core.nn.functional.tables import embedding_bag as embedding_bag
from core.nn.functional.tables import one_hot as one_hot
from core.ops.distance import cosine_similarity as cosine_similarity
from core.ops.distance import pairwise_distance as pairwise_distance
from core.ops.distance import pdist as pdist

# What must be a tensor, where no op below says so.
_TENSORS = {
    "input": """adaptive_avg_pool1d adaptive_max_pool1d alpha_dropout avg_pool1d avg_pool2d
        avg_pool3d channel_shuffle dropout feature_alpha_dropout max_pool1d max_pool2d max_pool3d
        hardtanh pad relu6 pixel_shuffle pixel_unshuffle rrelu unfold""",
    "input weight bias": """conv1d conv2d conv3d conv_transpose1d conv_transpose2d
        conv_transpose3d""",
    "input weight bias running_mean? running_var?": "batch_norm instance_norm",
    "weight bias": "group_norm",
    "input weight": """embedding prelu rms_norm""",
    "input target": """multi_margin_loss multilabel_margin_loss""",
    "input target weight": """cross_entropy nll_loss""",
    "input1 input2 target": """cosine_embedding_loss""",
    "input target var": "gaussian_nll_loss",
    "input grid": """grid_sample""",
    "indices": """max_unpool2d max_unpool3d""",
    "query key value": """scaled_dot_product_attention""",
    "anchor positive negative": """triplet_margin_loss""",
    "log_probs targets": """ctc_loss""",
    "tensor": """one_hot""",
}
# The same, where the operators below would go on with a number.
_AT_ONCE = {
    "input": "softsign tanhshrink",
    "input target": """huber_loss kl_div l1_loss mse_loss poisson_nll_loss smooth_l1_loss
        soft_margin_loss""",
    "input weight bias": "layer_norm",
}
for _table in (_TENSORS, _AT_ONCE):
    for _arguments, _names in _table.items():
        for _name in _names.split():
            _demand = _of_tensors(*_arguments.split(), first=_table is _AT_ONCE)
            _function = _demand(globals()[_name])
            globals()[_name] = _found_in("core.nn.functional", _function, _name)
