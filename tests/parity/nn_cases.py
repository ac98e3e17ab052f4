"""The table of modules: name, constructor arguments, shapes of the inputs."""


class Ints:
    """An input of whole numbers below `high`."""

    def __init__(self, high, *shape):
        self.high, self.shape = high, shape


class Unit:
    """An input of numbers strictly between 0 and 1."""

    def __init__(self, *shape):
        self.shape = shape


class Signs:
    """An input of -1 and 1."""

    def __init__(self, *shape):
        self.shape = shape


def case(name, *args, x=((3, 4),), **kwargs):
    """One row; `x` is the shapes of the inputs."""
    return name, args, kwargs, x


ELEMENTWISE = """ReLU ReLU6 LeakyReLU ELU CELU SELU GELU SiLU Mish Softplus Softshrink Hardshrink
Hardtanh Hardswish Hardsigmoid Sigmoid Tanh LogSigmoid Softsign Tanhshrink PReLU Softmin
Identity""".split()

ACTIVATIONS = [case(name) for name in ELEMENTWISE] + [
    case("GELU", "tanh"),
    case("LeakyReLU", 0.3),
    case("ELU", 0.7),
    case("CELU", 1.7),
    case("Softplus", 2.0, 1.0),
    case("Hardtanh", -0.3, 0.4),
    case("Threshold", 0.1, 20.0),
    case("PReLU", 4),
    case("PReLU", 4, x=((2, 4, 3),)),
    case("GLU"),
    case("GLU", 1, x=((2, 4, 3),)),
    case("Softmax", 1),
    case("Softmax", -2, x=((2, 4, 3),)),
    case("LogSoftmax", 1),
    case("LogSoftmax", 0, x=((2, 4, 3),)),
    case("Softmax2d", x=((2, 3, 4, 5),)),
]

NORMS = [
    case("BatchNorm1d", 4),
    case("BatchNorm1d", 4, x=((3, 4, 5),)),
    case("BatchNorm2d", 4, x=((3, 4, 5, 2),)),
    case("BatchNorm2d", 4, eps=0.1, momentum=None, x=((3, 4, 5, 2),)),
    case("BatchNorm2d", 4, affine=False, x=((3, 4, 5, 2),)),
    case("BatchNorm2d", 4, track_running_stats=False, x=((3, 4, 5, 2),)),
    case("BatchNorm3d", 4, x=((3, 4, 5, 2, 2),)),
    case("InstanceNorm1d", 4, x=((3, 4, 5),)),
    case("InstanceNorm1d", 4, x=((4, 5),)),
    case("InstanceNorm2d", 4, affine=True, x=((3, 4, 5, 2),)),
    case("InstanceNorm2d", 4, affine=True, track_running_stats=True, x=((3, 4, 5, 2),)),
    case("InstanceNorm3d", 4, x=((3, 4, 5, 2, 2),)),
    case("GroupNorm", 2, 4, x=((3, 4, 5, 2),)),
    case("GroupNorm", 4, 4, affine=False, x=((3, 4, 5),)),
    case("LayerNorm", 4),
    case("LayerNorm", (3, 4), x=((2, 3, 4),)),
    case("LayerNorm", 4, bias=False),
    case("LayerNorm", 4, elementwise_affine=False),
    case("RMSNorm", 4),
    case("RMSNorm", (3, 4), eps=0.1, x=((2, 3, 4),)),
    case("LocalResponseNorm", 2, x=((3, 4, 5),)),
    case("LocalResponseNorm", 3, 0.1, 0.5, 2.0, x=((3, 5, 4, 2),)),
]

CONVOLUTIONS = [
    case("Linear", 4, 5),
    case("Linear", 4, 5, bias=False, x=((2, 3, 4),)),
    case("Linear", 4, 5, x=((4,),)),
    case("Conv1d", 4, 6, 3, x=((2, 4, 9),)),
    case("Conv1d", 4, 6, 4, padding="same", x=((2, 4, 9),)),
    case("Conv1d", 4, 6, 3, padding="valid", dilation=2, x=((4, 9),)),
    case("Conv1d", 4, 6, 3, padding=2, padding_mode="circular", x=((2, 4, 9),)),
    case("Conv2d", 4, 6, 3, x=((2, 4, 7, 6),)),
    case("Conv2d", 4, 6, (3, 2), stride=2, padding=(1, 0), bias=False, x=((2, 4, 7, 6),)),
    case("Conv2d", 4, 6, 3, groups=2, dilation=2, x=((2, 4, 7, 6),)),
    case("Conv2d", 4, 8, 3, groups=4, padding=1, x=((2, 4, 7, 6),)),
    case("Conv2d", 4, 6, 1, x=((2, 4, 7, 6),)),
    case("Conv2d", 4, 6, 3, padding="same", padding_mode="reflect", x=((2, 4, 7, 6),)),
    case("Conv2d", 4, 6, 3, padding=1, padding_mode="replicate", x=((4, 7, 6),)),
    case("Conv3d", 2, 3, 2, stride=2, padding=1, x=((2, 2, 4, 5, 3),)),
    case("ConvTranspose1d", 4, 6, 3, x=((2, 4, 9),)),
    case("ConvTranspose2d", 4, 6, 3, stride=2, padding=1, output_padding=1, x=((2, 4, 5, 6),)),
    case("ConvTranspose2d", 4, 6, (3, 2), groups=2, dilation=2, bias=False, x=((4, 5, 6),)),
    case("ConvTranspose3d", 2, 3, 2, stride=2, x=((2, 2, 4, 2, 3),)),
]

RECURRENT = [
    case("RNN", 3, 4, x=((5, 2, 3),)),
    case("RNN", 3, 4, 2, nonlinearity="relu", batch_first=True, x=((2, 5, 3), (2, 2, 4))),
    case("GRU", 3, 4, x=((5, 2, 3),)),
    case("GRU", 3, 4, 2, bias=False, bidirectional=True, x=((5, 2, 3), (4, 2, 4))),
    case("LSTM", 3, 4, x=((5, 2, 3),)),
    case("LSTM", 3, 4, 2, bidirectional=True, batch_first=True, x=((2, 5, 3),)),
    case("LSTM", 3, 4, 2, bidirectional=True, proj_size=2, x=((5, 2, 3),)),
    case("LSTM", 3, 4, x=((5, 3),)),
    case("RNNCell", 3, 4, x=((2, 3),)),
    case("RNNCell", 3, 4, bias=False, nonlinearity="relu", x=((2, 3), (2, 4))),
    case("GRUCell", 3, 4, x=((2, 3), (2, 4))),
    case("LSTMCell", 3, 4, x=((3,),)),
]

LOOKUPS = [
    case("Embedding", 7, 3, x=(Ints(7, 2, 4),)),
    case("Embedding", 7, 3, padding_idx=2, x=(Ints(7, 2, 40),)),
    case("Embedding", 7, 3, padding_idx=-1, max_norm=1.0, x=(Ints(7, 2, 40),)),
    case("Embedding", 7, 3, scale_grad_by_freq=True, x=(Ints(7, 40),)),
    case("EmbeddingBag", 7, 3, x=(Ints(7, 5, 4),)),
    case("EmbeddingBag", 7, 3, mode="sum", padding_idx=2, x=(Ints(7, 5, 4),)),
    case("EmbeddingBag", 7, 3, mode="max", x=(Ints(7, 5, 4),)),
]

ATTENTION = [
    case("MultiheadAttention", 4, 2, x=((5, 3, 4), (6, 3, 4), (6, 3, 4))),
    case("MultiheadAttention", 4, 2, bias=False, batch_first=True, x=((3, 5, 4),) * 3),
    case("MultiheadAttention", 4, 2, kdim=3, vdim=5, x=((5, 3, 4), (6, 3, 3), (6, 3, 5))),
    case("MultiheadAttention", 4, 2, add_bias_kv=True, add_zero_attn=True, x=((5, 4),) * 3),
    case("TransformerEncoderLayer", 4, 2, 6, 0.0, x=((5, 3, 4),)),
    case("TransformerEncoderLayer", 4, 2, 6, 0.0, "gelu", norm_first=True, x=((5, 3, 4),)),
    case("TransformerEncoderLayer", 4, 2, 6, 0.0, batch_first=True, bias=False, x=((5, 3, 4),)),
    case("TransformerDecoderLayer", 4, 2, 6, 0.0, x=((5, 3, 4), (6, 3, 4))),
    case("TransformerDecoderLayer", 4, 2, 6, 0.0, norm_first=True, x=((5, 3, 4), (6, 3, 4))),
    case("Transformer", 4, 2, 2, 1, 6, 0.0, x=((5, 3, 4), (6, 3, 4))),
]

TWO = ((3, 4), (3, 4))
LOSSES = [
    *(case(name, x=TWO) for name in ("MSELoss", "L1Loss", "SmoothL1Loss", "HuberLoss")),
    case("MSELoss", reduction="none", x=TWO),
    case("L1Loss", reduction="sum", x=TWO),
    case("SmoothL1Loss", beta=0.3, x=TWO),
    case("HuberLoss", delta=0.3, reduction="none", x=TWO),
    case("BCELoss", x=(Unit(3, 4), Unit(3, 4))),
    case("BCEWithLogitsLoss", reduction="none", x=((3, 4), Unit(3, 4))),
    case("KLDivLoss", reduction="batchmean", x=((3, 4), Unit(3, 4))),
    case("KLDivLoss", log_target=True, reduction="sum", x=TWO),
    case("PoissonNLLLoss", full=True, x=((3, 4), Ints(5, 3, 4))),
    case("PoissonNLLLoss", log_input=False, x=(Unit(3, 4), (3, 4))),
    case("GaussianNLLLoss", x=((3, 4), (3, 4), Unit(3, 4))),
    case("GaussianNLLLoss", full=True, eps=0.5, reduction="sum", x=((3, 4), (3, 4), Unit(3, 1))),
    case("CrossEntropyLoss", x=((3, 4), Ints(4, 3))),
    case("CrossEntropyLoss", label_smoothing=0.1, ignore_index=1, x=((3, 4, 2), Ints(4, 3, 2))),
    case("CrossEntropyLoss", reduction="none", x=((4,), Ints(4))),
    case("CrossEntropyLoss", x=((3, 4), Unit(3, 4))),
    case("NLLLoss", x=((3, 4), Ints(4, 3))),
    case("AdaptiveLogSoftmaxWithLoss", 16, 12, [3, 7], 2.0, x=((20, 16), Ints(12, 20))),
    case("AdaptiveLogSoftmaxWithLoss", 16, 12, [3, 7], head_bias=True, x=((16,), Ints(12))),
    case("HingeEmbeddingLoss", x=((3, 4), Signs(3, 4))),
    case("SoftMarginLoss", x=((3, 4), Signs(3, 4))),
    case("MarginRankingLoss", 0.3, x=((3,), (3,), Signs(3))),
    case("CosineEmbeddingLoss", 0.1, x=((3, 4), (3, 4), Signs(3))),
    case("MultiLabelSoftMarginLoss", x=((3, 4), Unit(3, 4))),
    case("MultiLabelMarginLoss", x=((3, 4), Ints(4, 3, 4))),
    case("MultiMarginLoss", x=((3, 4), Ints(4, 3))),
    case("MultiMarginLoss", 2, 0.7, reduction="none", x=((4,), Ints(4))),
    case("TripletMarginLoss", x=((3, 4),) * 3),
    case("TripletMarginLoss", 0.5, 1.0, swap=True, reduction="sum", x=((3, 4),) * 3),
    case("TripletMarginWithDistanceLoss", x=((3, 4),) * 3),
    case("CosineSimilarity", x=TWO),
    case("PairwiseDistance", x=TWO),
    case("PairwiseDistance", 1.0, keepdim=True, x=TWO),
]

POOLS = [
    case("MaxPool1d", 2, x=((2, 3, 7),)),
    case("MaxPool2d", 3, 2, 1, x=((2, 3, 7, 6),)),
    case("MaxPool2d", (2, 3), 2, dilation=2, ceil_mode=True, x=((3, 9, 8),)),
    case("MaxPool2d", 2, return_indices=True, x=((2, 3, 7, 6),)),
    case("MaxPool3d", 2, x=((2, 3, 4, 5, 4),)),
    case("AvgPool1d", 3, 2, 1, x=((2, 3, 7),)),
    case("AvgPool2d", 2, x=((2, 3, 7, 6),)),
    case("AvgPool2d", 3, 2, 1, ceil_mode=True, x=((2, 3, 8, 7),)),
    case("AvgPool2d", 3, 2, 1, True, False, x=((2, 3, 8, 7),)),
    case("AvgPool2d", 3, 2, 1, divisor_override=5, x=((3, 8, 7),)),
    case("AvgPool3d", 2, 1, 1, x=((2, 3, 4, 5, 4),)),
    case("LPPool1d", 2.0, 3, x=((2, 3, 7),)),
    case("LPPool2d", 2.0, 3, stride=2, ceil_mode=True, x=((2, 3, 8, 7),)),
    case("AdaptiveAvgPool1d", 3, x=((2, 3, 7),)),
    case("AdaptiveAvgPool2d", 1, x=((2, 3, 7, 6),)),
    case("AdaptiveAvgPool2d", (3, None), x=((3, 7, 6),)),
    case("AdaptiveAvgPool3d", (2, 3, 2), x=((2, 3, 4, 5, 4),)),
    case("AdaptiveMaxPool1d", 3, x=((2, 3, 7),)),
    case("AdaptiveMaxPool2d", (3, 2), True, x=((2, 3, 7, 6),)),
    case("AdaptiveMaxPool3d", (2, 3, 2), x=((2, 3, 4, 5, 4),)),
]

SHAPES = [
    case("Flatten", x=((2, 3, 4),)),
    case("Flatten", 0, 1, x=((2, 3, 4),)),
    case("Unflatten", 1, (2, 2)),
    case("PixelShuffle", 2, x=((2, 8, 3, 4),)),
    case("PixelUnshuffle", 2, x=((2, 3, 4, 6),)),
    case("ChannelShuffle", 2, x=((2, 6, 3),)),
    case("Unfold", (2, 3), dilation=1, padding=1, stride=2, x=((2, 3, 7, 6),)),
    case("Fold", (5, 6), 2, padding=1, stride=2, x=((2, 12, 12),)),
    case("Upsample", scale_factor=2, x=((2, 3, 4, 5),)),
    case("Upsample", size=(7, 3), mode="bilinear", x=((2, 3, 4, 5),)),
    case("Upsample", scale_factor=1.5, mode="bilinear", align_corners=True, x=((2, 3, 4, 5),)),
    case("Upsample", size=(7, 3), mode="bicubic", x=((2, 3, 4, 5),)),
    case("Upsample", size=7, mode="linear", x=((2, 3, 4),)),
    case("Upsample", scale_factor=(2, 1, 1.5), mode="trilinear", x=((2, 3, 4, 5, 4),)),
    case("Upsample", size=(3, 2), mode="area", x=((2, 3, 4, 5),)),
    case("Upsample", size=(7, 3), mode="nearest-exact", x=((2, 3, 4, 5),)),
    case("UpsamplingNearest2d", scale_factor=3, x=((2, 3, 4, 5),)),
    case("UpsamplingBilinear2d", size=(7, 3), x=((2, 3, 4, 5),)),
    case("Bilinear", 4, 3, 5, x=((2, 4), (2, 3))),
    *(
        case(f"{kind}Pad{n}d", 1, *extra, x=((2, 3, 4, 5, 4)[: n + 2],))
        for kind, extra in (
            ("Constant", (2.5,)),
            ("Zero", ()),
            ("Reflection", ()),
            ("Replication", ()),
            ("Circular", ()),
        )
        for n in (1, 2, 3)
    ),
    case("ReflectionPad2d", (1, 2, 0, 3), x=((2, 3, 4, 5),)),
    case("Dropout", 0.0),
    case("Dropout2d", 0.0, x=((2, 3, 4, 5),)),
    case("AlphaDropout", 0.0),
]
