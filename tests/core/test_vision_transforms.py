"""Laws of transforms: the same for arrays, tensors and PIL images, and as in torch."""

import copy
import itertools

import numpy
import pytest

from core.dtype import float32, uint8
from core.ops.creation import from_numpy
from core.random import Generator, using
from core.tensor import Tensor
from core.vision import transforms as T

COLOR = (numpy.arange(7 * 9 * 3).reshape(7, 9, 3) * 5 % 256).astype("u1")
GRAY = COLOR[:, :, 0].copy()


def kinds(array):
    """The same image as an array, a tensor and, where Pillow is there, a PIL image."""
    chw = array[None] if array.ndim == 2 else array.transpose(2, 0, 1)
    yield array
    yield from_numpy(numpy.ascontiguousarray(chw))
    try:
        from PIL import Image
    except ImportError:
        return
    yield Image.fromarray(array)


def hwc(image):
    """The pixels (H, W, C) of any kind."""
    if isinstance(image, Tensor):
        return image.array.transpose(1, 2, 0)
    array = numpy.asarray(image)
    return array[:, :, None] if array.ndim == 2 else array


GEOMETRIC = {
    "resize": (T.Resize((5, 12)), (5, 12)),
    "resize the shorter side": (T.Resize(14), (14, 18)),
    "resize within": (T.Resize(14, max_size=16), (12, 16)),
    "resize nearest": (T.Resize((3, 4), T.InterpolationMode.NEAREST), (3, 4)),
    "resize bicubic": (T.Resize((15, 4), T.InterpolationMode.BICUBIC), (15, 4)),
    "center": (T.CenterCrop(4), (4, 4)),
    "center of less": (T.CenterCrop((9, 12)), (9, 12)),
    "pad": (T.Pad(2), (11, 13)),
    "pad by two": (T.Pad([1, 3], fill=9), (13, 11)),
    "pad by four": (T.Pad([1, 2, 3, 4], padding_mode="edge"), (13, 13)),
    "reflect": (T.Pad(2, padding_mode="reflect"), (11, 13)),
    "crop": (T.RandomCrop(5), (5, 5)),
    "padded crop": (T.RandomCrop((7, 9), padding=4), (7, 9)),
    "crop of less": (T.RandomCrop(12, pad_if_needed=True), (12, 12)),
    "resized crop": (T.RandomResizedCrop(6), (6, 6)),
    "flip": (T.RandomHorizontalFlip(1.0), (7, 9)),
    "upside down": (T.RandomVerticalFlip(1.0), (7, 9)),
}


@pytest.mark.parametrize("name", GEOMETRIC)
@pytest.mark.parametrize("array", [COLOR, GRAY], ids=["color", "gray"])
def test_every_kind_of_image_gives_the_same_pixels(name, array):
    transform, size = GEOMETRIC[name]
    seen = []
    for image in kinds(array):
        before = copy.deepcopy(hwc(image))
        with using(Generator().manual_seed(5)):
            out = transform(image)
        assert type(out) is type(image) or hasattr(out, "getpixel")
        assert (hwc(image) == before).all()
        seen.append(hwc(out))
    assert all(pixels.shape[:2] == size and pixels.dtype == "u1" for pixels in seen)
    assert all((pixels == seen[0]).all() for pixels in seen)


def test_flips_mirror():
    assert (T.RandomHorizontalFlip(1.0)(COLOR) == COLOR[:, ::-1]).all()
    assert (T.RandomVerticalFlip(1.0)(COLOR) == COLOR[::-1]).all()
    assert T.RandomHorizontalFlip(0.0)(COLOR) is COLOR


def test_crops_are_parts_and_padding_is_around():
    assert (T.CenterCrop((3, 5))(COLOR) == COLOR[2:5, 2:7]).all()
    padded = T.Pad([1, 2], fill=7)(GRAY)
    assert (padded[2:-2, 1:-1] == GRAY).all() and (padded[:2] == 7).all()
    small = T.CenterCrop((9, 9))(GRAY)
    assert (small[1:-1] == GRAY).all() and not small[0].any() and not small[-1].any()


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(5, 4), (3, 15), (14, 20), (7, 4)])
def test_resize_is_that_of_torch(mode, size):
    torch = pytest.importorskip("torch")
    image = numpy.sin(numpy.arange(2 * 7 * 9)).reshape(2, 7, 9)
    ours = T.Resize(size, T.InterpolationMode(mode))(from_numpy(image)).array
    theirs = torch.nn.functional.interpolate(
        torch.from_numpy(image)[None], size, mode=mode, antialias=True, align_corners=False
    )[0].numpy()
    numpy.testing.assert_allclose(ours, theirs, atol=1e-12)


def test_resize_without_antialias_is_that_of_torch():
    torch = pytest.importorskip("torch")
    image = numpy.sin(numpy.arange(2 * 7 * 9)).reshape(2, 7, 9)
    for mode, name in (("nearest", "nearest"), ("bilinear", "bilinear")):
        ours = T.Resize((3, 11), T.InterpolationMode(mode), antialias=False)(from_numpy(image))
        theirs = torch.nn.functional.interpolate(torch.from_numpy(image)[None], (3, 11), mode=name)
        numpy.testing.assert_allclose(ours.array, theirs[0].numpy(), atol=1e-12)


def test_to_tensor_scales_bytes_and_nothing_else():
    for image in (COLOR, *itertools.islice(kinds(COLOR), 2, None)):
        out = T.ToTensor()(image)
        assert out.shape == (3, 7, 9) and out.array.dtype == "f4" and out.is_contiguous()
        assert (out.array == COLOR.transpose(2, 0, 1).astype("f4") / numpy.float32(255)).all()
    assert T.ToTensor()(GRAY).shape == (1, 7, 9)
    doubles = T.ToTensor()(GRAY.astype("f8"))
    assert doubles.array.dtype == "f8" and (doubles.array[0] == GRAY).all()
    raw = T.PILToTensor()(COLOR)
    assert raw.array.dtype == "u1" and (raw.array == COLOR.transpose(2, 0, 1)).all()


def test_to_tensor_refuses_what_is_no_image():
    with pytest.raises(TypeError, match="PIL Image or ndarray"):
        T.ToTensor()([1, 2])
    with pytest.raises(ValueError, match=r"2/3 dimensional\. Got 1"):
        T.ToTensor()(numpy.zeros(3))


def test_conversions_of_dtype_come_back():
    image = from_numpy(numpy.arange(256, dtype="u1").reshape(1, 16, 16))
    floats = T.ConvertImageDtype(float32)(image)
    assert floats.array.min() == 0 and floats.array.max() == 1
    assert (T.ConvertImageDtype(uint8)(floats).array == image.array).all()


@pytest.mark.parametrize("inplace", [False, True])
def test_normalize_is_per_channel(inplace):
    mean, std = (0.1, 0.2, 0.3), (1.0, 2.0, 4.0)
    image = T.ToTensor()(COLOR)
    before = image.array.copy()
    out = T.Normalize(mean, std, inplace)(image)
    expected = (before - numpy.float32(mean)[:, None, None]) / numpy.float32(std)[:, None, None]
    numpy.testing.assert_allclose(out.array, expected, rtol=1e-6)
    assert (out is image) == inplace and (image.array == before).all() != inplace


def test_normalize_refuses_what_it_cannot_do():
    with pytest.raises(TypeError, match="Tensor Image"):
        T.Normalize([0], [1])(GRAY)
    with pytest.raises(TypeError, match="float tensor"):
        T.Normalize([0], [1])(from_numpy(GRAY))
    with pytest.raises(ValueError, match="std evaluated to zero"):
        T.Normalize([0], [0])(T.ToTensor()(GRAY))


# ---- random ones ----


def draws(transform, n=400, seed=1):
    with using(Generator().manual_seed(seed)):
        return [transform(GRAY) for _ in range(n)]


def test_random_transforms_repeat_by_seed():
    transform = T.Compose([T.RandomCrop(7, padding=2), T.RandomHorizontalFlip()])
    first, again, other = draws(transform, 20), draws(transform, 20), draws(transform, 20, seed=2)
    assert all((a == b).all() for a, b in zip(first, again))
    assert any((a != b).any() for a, b in zip(first, other))


def test_flips_happen_with_their_probability():
    flipped = sum((out != GRAY).any() for out in draws(T.RandomHorizontalFlip(0.3)))
    assert abs(flipped / 400 - 0.3) < 0.1


def test_every_place_of_a_crop_is_as_likely():
    corners = [int(out[0, 0]) for out in draws(T.RandomCrop((6, 8)), 800)]
    places = [int(GRAY[i, j]) for i in range(2) for j in range(2)]
    counts = [corners.count(place) for place in places]
    assert sum(counts) == 800 and min(counts) > 150


def test_resized_crops_lie_in_the_image_with_the_asked_shape():
    crop = T.RandomResizedCrop(4, scale=(0.3, 0.6), ratio=(0.5, 2.0))
    with using(Generator().manual_seed(0)):
        for _ in range(200):
            top, left, height, width = crop._part(40, 60)
            assert top >= 0 and left >= 0 and top + height <= 40 and left + width <= 60
            assert 0.28 < height * width / 2400 < 0.62 and 0.45 < width / height < 2.2
        assert crop._part(1, 100) == (0, 49, 1, 2)


def test_random_combinations():
    def plus(n):
        return lambda x: x + n

    with using(Generator().manual_seed(0)):
        chosen = [T.RandomChoice([plus(1), plus(2)])(0) for _ in range(200)]
        applied = [T.RandomApply([plus(1), plus(1)], p=0.25)(0) for _ in range(400)]
        orders = [T.RandomOrder([lambda s: s + "a", lambda s: s + "b"])("") for _ in range(200)]
    assert 60 < chosen.count(1) < 140 and chosen.count(1) + chosen.count(2) == 200
    assert 60 < applied.count(2) < 140 and applied.count(2) + applied.count(0) == 400
    assert 60 < orders.count("ab") < 140 and orders.count("ab") + orders.count("ba") == 200


def test_noise_is_clipped():
    image = T.ToTensor()(COLOR)
    out = T.GaussianNoise(sigma=0.5)(image)
    assert out.shape == image.shape and out.array.dtype == "f4"
    assert out.array.min() == 0 and out.array.max() == 1
    assert T.GaussianNoise(sigma=0.5, clip=False)(image).array.max() > 1


def test_wrong_options_are_named():
    with pytest.raises(ValueError, match="larger than input image size"):
        T.RandomCrop(20)(GRAY)
    with pytest.raises(ValueError, match="1, 2 or 4 numbers"):
        T.Pad([1, 2, 3])(GRAY)
    with pytest.raises(ValueError, match="padding_mode is one of"):
        T.Pad(1, padding_mode="wrap")(GRAY)
    with pytest.raises(ValueError, match="one or two numbers"):
        T.CenterCrop((1, 2, 3))
    with pytest.raises(TypeError, match="callable"):
        T.Lambda(3)
    with pytest.raises(TypeError, match="an image is"):
        T.Resize(3)("image")


def test_a_composition_shows_its_parts():
    text = repr(T.Compose([T.ToTensor(), T.Normalize((0.5,), (0.5,))]))
    assert text == (
        "Compose(\n    ToTensor()\n    Normalize(mean=(0.5,), std=(0.5,), inplace=False)\n)"
    )
