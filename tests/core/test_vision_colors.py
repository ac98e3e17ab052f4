"""Colours, turns, grids and pictures: definitions, and the same for every kind of image."""

import colorsys

import numpy
import pytest

import core
from core.random import Generator, using
from core.vision import images
from core.vision import transforms as T
from core.vision.transforms import functional as F
from tests.core.test_vision_transforms import COLOR, GRAY, hwc, kinds

FLOAT = (COLOR / 255.0).astype("f4")
SAME = {
    "brightness": lambda x: F.adjust_brightness(x, 1.4),
    "contrast": lambda x: F.adjust_contrast(x, 0.4),
    "saturation": lambda x: F.adjust_saturation(x, 1.7),
    "hue": lambda x: F.adjust_hue(x, 0.2),
    "gray": F.rgb_to_grayscale,
    "three grays": lambda x: F.rgb_to_grayscale(x, 3),
    "turn": lambda x: F.rotate(x, 33.0),
    "smooth turn": lambda x: F.rotate(x, 33.0, T.InterpolationMode.BILINEAR, expand=True, fill=7),
    "mirror": F.hflip,
    "upside down": F.vflip,
    "crop": lambda x: F.resized_crop(x, 1, 2, 4, 5, (6, 3)),
    "middle": lambda x: F.center_crop(x, 4),
}


@pytest.mark.parametrize("name", SAME)
@pytest.mark.parametrize("array", [COLOR, GRAY], ids=["colour", "gray"])
def test_arrays_tensors_and_pil_images_become_the_same(name, array):
    images = list(kinds(array))
    found = [SAME[name](image) for image in images]
    assert [type(new) for new in found] == [type(old) for old in images]
    for other in found[1:]:
        numpy.testing.assert_array_equal(hwc(found[0]), hwc(other))


def test_a_batch_is_each_of_its_images():
    batch = core.rand(3, 3, 5, 6, generator=Generator().manual_seed(0))
    for name in ("brightness", "contrast", "saturation", "hue", "three grays", "turn"):
        together = SAME[name](batch)
        for one, image in zip(together, batch, strict=True):
            numpy.testing.assert_array_equal(one.numpy(), SAME[name](image).numpy())


def test_factors_mix_with_black_with_the_mean_gray_and_with_gray():
    gray = FLOAT @ numpy.array([0.2989, 0.587, 0.114], "f4")
    mixes = {
        F.adjust_brightness: numpy.zeros_like(FLOAT),
        F.adjust_contrast: numpy.full_like(FLOAT, gray.mean()),
        F.adjust_saturation: numpy.stack([gray] * 3, -1),
    }
    for adjust, other in mixes.items():
        for factor in (0.0, 0.5, 1.0, 2.0):
            expected = numpy.clip(factor * FLOAT + (1 - factor) * other, 0, 1)
            numpy.testing.assert_allclose(adjust(FLOAT, factor), expected, atol=1e-6)


@pytest.mark.parametrize("shift", [-0.5, -0.21, 0.0, 0.1, 0.5])
def test_hue_turns_on_the_circle(shift):
    expected = []
    for pixel in FLOAT.reshape(-1, 3).astype(float):
        h, s, v = colorsys.rgb_to_hsv(*pixel)
        expected.append(colorsys.hsv_to_rgb((h + shift) % 1.0, s, v))
    found = F.adjust_hue(FLOAT, shift)
    numpy.testing.assert_allclose(found.reshape(-1, 3), expected, atol=2e-6)
    if shift == 0.0:
        numpy.testing.assert_array_equal(F.adjust_hue(COLOR, shift), COLOR)


@pytest.mark.parametrize("quarters", [-1, 0, 1, 2, 3])
@pytest.mark.parametrize("mode", [T.InterpolationMode.NEAREST, T.InterpolationMode.BILINEAR])
def test_right_angles_lose_nothing(quarters, mode):
    found = F.rotate(COLOR, 90.0 * quarters, mode, expand=True)
    numpy.testing.assert_array_equal(found, numpy.rot90(COLOR, quarters))


def test_a_turned_slope_is_a_slope_that_points_elsewhere():
    y, x = numpy.mgrid[:21, :21] - 10.0
    angle = numpy.radians(30.0)
    found = F.rotate(x, 30.0, T.InterpolationMode.BILINEAR, fill=numpy.nan)
    expected = x * numpy.cos(angle) - y * numpy.sin(angle)
    inside = ~numpy.isnan(found)
    assert inside[5:16, 5:16].all() and not inside[0, 0]
    numpy.testing.assert_allclose(found[inside], expected[inside], atol=1e-12)


def test_random_ones_stay_within_their_limits_and_can_be_repeated():
    jitter = T.ColorJitter(brightness=0.3, contrast=(0.5, 0.6), saturation=0.2, hue=0.1)
    assert jitter.brightness == (0.7, 1.3) and jitter.hue == (-0.1, 0.1)
    both = []
    for _ in range(2):
        with using(Generator().manual_seed(3)):
            both.append([jitter(COLOR), T.RandomRotation(20)(COLOR), T.RandomGrayscale(0.5)(COLOR)])
    for one, other in zip(*both, strict=True):
        numpy.testing.assert_array_equal(one, other)
    numpy.testing.assert_array_equal(T.ColorJitter()(COLOR), COLOR)
    numpy.testing.assert_array_equal(T.RandomRotation(0)(COLOR), COLOR)
    assert T.RandomGrayscale(1.0)(COLOR).shape == COLOR.shape


@pytest.mark.parametrize("wrong", [{"brightness": -1}, {"hue": 0.6}, {"contrast": (2, 1)}])
def test_limits_that_are_none_are_refused(wrong):
    with pytest.raises(ValueError):
        T.ColorJitter(**wrong)


def test_erasing_changes_one_rectangle_and_only_if_told_the_image_itself():
    image = core.ones(3, 20, 30)
    with using(Generator().manual_seed(0)):
        out = T.RandomErasing(1.0, value=[2.0, 3.0, 4.0])(image)
        again = T.RandomErasing(1.0, value="random", inplace=True)(image)
    changed = out.numpy()[0] == 2.0
    rows, columns = numpy.flatnonzero(changed.any(1)), numpy.flatnonzero(changed.any(0))
    assert changed.sum() == len(rows) * len(columns) > 0 and (numpy.diff(rows) == 1).all()
    assert (out.numpy()[2][changed] == 4.0).all() and (out.numpy()[2][~changed] == 1.0).all()
    assert again is image and not (image.numpy() == 1.0).all()
    assert T.RandomErasing(0.0)(image) is image


class TestPictures:
    Image = pytest.importorskip("PIL.Image", reason="pictures: pip install pillow")

    def test_tensors_become_pictures_and_come_back(self):
        for array in (COLOR, GRAY):
            picture = T.ToPILImage()(array)
            assert picture.size == (9, 7)
            numpy.testing.assert_array_equal(numpy.asarray(picture), array)
            again = T.ToPILImage()(T.ToTensor()(picture))
            numpy.testing.assert_array_equal(numpy.asarray(again), array)
        assert F.to_pil_image(COLOR, "L").mode == "L"
        with pytest.raises(ValueError, match="2/3 dimensional"):
            T.ToPILImage()(numpy.zeros((1, 2, 3, 4)))

    def test_a_saved_grid_is_the_grid(self, tmp_path):
        batch = core.rand(5, 3, 4, 6)
        images.save_image(batch, tmp_path / "x.png", nrow=3, pad_value=1.0)
        read = numpy.asarray(self.Image.open(tmp_path / "x.png"))
        grid = images.make_grid(batch, nrow=3, pad_value=1.0)
        expected = numpy.floor(grid.numpy() * 255 + 0.5)
        numpy.testing.assert_array_equal(read, expected.transpose(1, 2, 0))
        numpy.testing.assert_array_equal(images.read_image(tmp_path / "x.png").numpy(), expected)


def test_a_grid_has_each_image_in_its_place():
    batch = core.rand(5, 3, 4, 6)
    grid = images.make_grid(batch, nrow=3, padding=1, pad_value=0.5).numpy()
    assert grid.shape == (3, 2 * 5 + 1, 3 * 7 + 1)
    for place, image in enumerate(batch):
        top, left = place // 3 * 5 + 1, place % 3 * 7 + 1
        numpy.testing.assert_array_equal(grid[:, top : top + 4, left : left + 6], image.numpy())
    assert (grid[:, 0] == 0.5).all() and (grid[:, :, 0] == 0.5).all()
    assert images.make_grid([core.ones(4, 6)] * 2).shape == (3, 8, 18)
    assert images.make_grid(core.ones(1, 4, 6)).shape == (3, 4, 6)


def test_normalized_grids_reach_from_0_to_1():
    batch = core.arange(24.0).reshape(2, 3, 2, 2) - 7
    whole = images.make_grid(batch, normalize=True, padding=0).numpy()
    assert whole.min() == 0.0 and whole.max() == 1.0
    each = images.make_grid(batch, normalize=True, scale_each=True, padding=0).numpy()
    numpy.testing.assert_array_equal(each[:, :, :2], each[:, :, 2:])
    given = images.make_grid(batch, normalize=True, value_range=(0.0, 4.0), padding=0).numpy()
    assert given[0, 0, 0] == 0.0 and given[-1, -1, -1] == 1.0
