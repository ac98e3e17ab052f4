"""Models of images: torchvision's parameter counts, layouts of state, arguments, first weights."""

import functools

import numpy
import pytest

import core
from core import nn
from core.vision import models

# torchvision's published numbers of parameters.
COUNTS = {
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "resnet101": 44_549_160,
    "resnet152": 60_192_808,
    "resnext50_32x4d": 25_028_904,
    "resnext101_32x8d": 88_791_336,
    "resnext101_64x4d": 83_455_272,
    "wide_resnet50_2": 68_883_240,
    "wide_resnet101_2": 126_886_696,
    "mobilenet_v2": 3_504_872,
    "vgg11": 132_863_336,
    "vgg11_bn": 132_868_840,
    "vgg13": 133_047_848,
    "vgg13_bn": 133_053_736,
    "vgg16": 138_357_544,
    "vgg16_bn": 138_365_992,
    "vgg19": 143_667_240,
    "vgg19_bn": 143_678_248,
    "vit_b_16": 86_567_656,
    "vit_b_32": 88_224_232,
    "vit_l_16": 304_326_632,
    "vit_l_32": 306_535_400,
    "vit_h_14": 632_045_800,
}
LAYERS = {"vit_b_16": 12, "vit_b_32": 12, "vit_l_16": 24, "vit_l_32": 24, "vit_h_14": 32}
LIGHT = ("resnet18", "mobilenet_v2")


def count(model):
    return sum(p.numel() for p in model.parameters())


@pytest.fixture
def undrawn(monkeypatch):
    """First weights are zero: half a billion random numbers that nobody would read."""
    for name in ("normal", "uniform"):
        monkeypatch.setattr(core.random, name, lambda *how, **where: numpy.float32(0))


def test_every_model_is_listed():
    assert models.list_models() == sorted(COUNTS)
    assert models.list_models(include="vgg*", exclude=["*_bn", "vgg19"]) == [
        "vgg11",
        "vgg13",
        "vgg16",
    ]


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in LIGHT else pytest.mark.slow)
        for name in COUNTS
        if name not in LAYERS
    ],
)
def test_the_number_of_parameters_is_torchvisions(name, undrawn):
    assert count(models.get_model(name)) == COUNTS[name]


@pytest.mark.slow
@pytest.mark.parametrize("name", LAYERS)
def test_the_number_of_parameters_of_a_transformer_is_torchvisions(name, undrawn):
    # Each layer adds as many: two small models say what the whole one has.
    one, two = (count(models.get_model(name, num_layers=layers)) for layers in (1, 2))
    assert one + (LAYERS[name] - 1) * (two - one) == COUNTS[name]


# Of each layout: the number of entries, and some of them with their shapes.
LAYOUTS = {
    "resnet18": (122, """
        conv1.weight 64 3 7 7
        bn1.running_var 64
        layer1.0.conv2.weight 64 64 3 3
        layer2.0.downsample.0.weight 128 64 1 1
        layer2.0.downsample.1.num_batches_tracked
        layer4.1.bn2.bias 512
        fc.weight 1000 512
    """),
    "resnet50": (320, """
        layer1.0.conv3.weight 256 64 1 1
        layer1.0.downsample.0.weight 256 64 1 1
        layer3.5.bn3.running_mean 1024
        layer4.0.conv2.weight 512 512 3 3
        fc.weight 1000 2048
    """),
    "mobilenet_v2": (314, """
        features.0.0.weight 32 3 3 3
        features.0.1.running_mean 32
        features.1.conv.0.0.weight 32 1 3 3
        features.1.conv.1.weight 16 32 1 1
        features.1.conv.2.bias 16
        features.2.conv.1.0.weight 96 1 3 3
        features.2.conv.2.weight 24 96 1 1
        features.17.conv.3.num_batches_tracked
        features.18.0.weight 1280 320 1 1
        classifier.1.weight 1000 1280
    """),
    "vgg11_bn": (62, """
        features.0.weight 64 3 3 3
        features.1.running_mean 64
        features.25.weight 512 512 3 3
        classifier.0.weight 4096 25088
        classifier.3.bias 4096
        classifier.6.weight 1000 4096
    """),
    "vit_b_16": (152, """
        class_token 1 1 768
        conv_proj.weight 768 3 16 16
        encoder.pos_embedding 1 197 768
        encoder.layers.encoder_layer_0.ln_1.weight 768
        encoder.layers.encoder_layer_0.self_attention.in_proj_weight 2304 768
        encoder.layers.encoder_layer_11.self_attention.out_proj.bias 768
        encoder.layers.encoder_layer_11.mlp.0.weight 3072 768
        encoder.layers.encoder_layer_11.mlp.3.weight 768 3072
        encoder.ln.bias 768
        heads.head.weight 1000 768
    """),
}  # fmt: skip


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name in LIGHT else pytest.mark.slow) for name in LAYOUTS],
)
def test_keys_and_shapes_are_torchvisions(name, undrawn):
    entries, lines = LAYOUTS[name]
    state = {key: tuple(x.shape) for key, x in models.get_model(name).state_dict().items()}
    assert len(state) == entries
    for line in lines.split("\n"):
        if line.strip():
            key, *shape = line.split()
            assert state[key] == tuple(map(int, shape)), key


def small_vit(**options):
    return models.VisionTransformer(8, 4, 2, 2, 8, 16, num_classes=5, **options)


def images(size=8, count=2):
    return core.randn(count, 3, size, size, generator=core.Generator().manual_seed(2))


@pytest.mark.parametrize(
    "make, size",
    [
        (functools.partial(models.resnet18, num_classes=5), 32),
        (functools.partial(models.mobilenet_v2, num_classes=5, width_mult=0.25), 32),
        (small_vit, 8),
        (functools.partial(small_vit, representation_size=6), 8),
        (
            functools.partial(small_vit, conv_stem_configs=[models.ConvStemConfig(4, 3, 4)]),
            8,
        ),
    ],
)
def test_every_parameter_gets_a_gradient(make, size):
    core.manual_seed(0)
    model = make()
    for p in model.parameters():  # nothing is blocked by a weight that starts at zero
        with core.no_grad():
            p.add_(0.05 * core.randn(p.shape))
    out = model(images(size))
    assert out.shape == (2, 5)
    out.square().sum().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []
    assert [name for name, p in model.named_parameters() if not p.grad.abs().sum().item()] == []


def test_resnet_options_are_torchvisions():
    model = models.ResNet(
        models.Bottleneck,
        [1, 1, 1, 1],
        num_classes=3,
        zero_init_residual=True,
        replace_stride_with_dilation=[False, True, True],
        norm_layer=lambda n: nn.GroupNorm(4, n),
    )
    assert model.layer1[0].bn3.weight.abs().sum().item() == 0
    assert model.layer4[0].conv2.dilation == (2, 2)
    assert model.layer4[0].conv2.stride == (1, 1)
    assert model.layer2[0].conv2.stride == (2, 2)
    assert model(images(32)).shape == (2, 3)


def test_a_fine_tuned_head_takes_the_place_of_the_old_one():
    model = models.resnet18()
    model.fc = nn.Linear(model.fc.in_features, 10)
    assert model.eval()(images(32)).shape == (2, 10)


def test_first_weights_have_torchvisions_spread():
    core.manual_seed(0)
    net, mobile = models.resnet18(), models.mobilenet_v2()
    # The root of 2 / fan_out, whatever the fan in.
    weight = net.layer3[0].downsample[0].weight.detach().numpy()
    numpy.testing.assert_allclose(weight.std(), (2 / 256) ** 0.5, rtol=0.02)
    numpy.testing.assert_allclose(mobile.classifier[1].weight.std().item(), 0.01, rtol=0.02)
    vit = small_vit()
    assert vit.heads.head.weight.abs().sum().item() == 0
    assert vit.class_token.abs().sum().item() == 0
    vgg = models.VGG(nn.Identity(), num_classes=7, dropout=0.1)
    numpy.testing.assert_allclose(vgg.classifier[6].weight.std().item(), 0.01, rtol=0.02)
    assert [m.p for m in vgg.modules() if isinstance(m, nn.Dropout)] == [0.1, 0.1]


@pytest.mark.parametrize(
    "call, error, words",
    [
        (lambda: models.resnet18(weights="DEFAULT"), ValueError, "trained weights are not shipped"),
        (lambda: models.get_model("resnet19"), ValueError, "Unknown model resnet19"),
        (lambda: models.BasicBlock(4, 4, groups=2), ValueError, "groups=1 and base_width=64"),
        (lambda: models.BasicBlock(4, 4, dilation=2), NotImplementedError, "Dilation > 1"),
        (lambda: models.InvertedResidual(4, 4, 3, 1), ValueError, "stride should be 1 or 2"),
        (
            lambda: models.MobileNetV2(inverted_residual_setting=[]),
            ValueError,
            "should be non-empty",
        ),
        (
            lambda: models.VisionTransformer(8, 3, 1, 1, 4, 4),
            ValueError,
            "indivisible by patch size: 8",
        ),
        (
            lambda: small_vit()(images(16)),
            RuntimeError,
            "Wrong image height! Expected 8 but got 16",
        ),
        (
            lambda: models.ResNet(models.BasicBlock, [1] * 4, replace_stride_with_dilation=[True]),
            ValueError,
            "3-element tuple",
        ),
    ],
)
def test_wrong_arguments_say_what_was_expected(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_weights_none_is_accepted():
    assert isinstance(models.mobilenet_v2(weights=None, progress=False), models.MobileNetV2)


def test_the_argument_that_weights_replaced():
    for given, named in (((False,), {}), ((None,), {}), ((), {"pretrained": False})):
        with pytest.warns(UserWarning, match="use 'weights' instead"):
            assert len(list(models.resnet18(*given, **named).parameters())) == 62
    with (
        pytest.warns(UserWarning, match="use 'weights' instead"),
        pytest.raises(ValueError, match="trained weights are not shipped"),
    ):
        models.vgg11(pretrained=True)
