"""Laws of image datasets, with tiny files in the formats of the real ones."""

import gzip
import string
import struct

import numpy
import pytest

from core.data import DataLoader
from core.tensor import Tensor
from core.vision import datasets, transforms
from core.vision.formats import DataFormatError


def idx(array):
    array = numpy.asarray(array, "u1")
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


PIXELS = numpy.arange(5 * 28 * 28).reshape(5, 28, 28) % 251


def write_mnist(folder, prefix="", labels=(3, 1, 4, 1, 5), train="train", test="t10k"):
    folder.mkdir(parents=True)
    for part, n in ((train, 5), (test, 2)):
        images = folder / f"{prefix}{part}-images-idx3-ubyte.gz"
        images.write_bytes(gzip.compress(idx(PIXELS[:n])))
        (folder / f"{prefix}{part}-labels-idx1-ubyte").write_bytes(idx(labels[:n]))


@pytest.mark.parametrize("kind", [datasets.MNIST, datasets.FashionMNIST, datasets.KMNIST])
def test_mnist_reads_its_files(tmp_path, kind):
    write_mnist(tmp_path / kind.__name__ / "raw")
    train, test = kind(tmp_path), kind(str(tmp_path), train=False, download=True)
    assert len(train) == 5 and len(test) == 2 and len(train.classes) == 10
    image, target = train[2]
    assert image.tolist() == PIXELS[2].tolist() and target == 4 and type(target) is int
    assert isinstance(train.data, Tensor) and train.targets.tolist() == [3, 1, 4, 1, 5]
    assert train.class_to_idx[train.classes[9]] == 9
    assert "Number of datapoints: 5" in repr(train)


def test_transforms_are_applied(tmp_path):
    write_mnist(tmp_path / "MNIST" / "raw")
    transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.5,), (0.5,))])
    data = datasets.MNIST(tmp_path, transform=transform, target_transform=lambda y: y + 1)
    images, targets = next(iter(DataLoader(data, batch_size=5)))
    assert images.shape == (5, 1, 28, 28) and targets.tolist() == [4, 2, 5, 2, 6]
    expected = (PIXELS[:, None] / 255 - 0.5) / 0.5
    numpy.testing.assert_allclose(images.array, expected, atol=1e-6)


def test_emnist_has_splits(tmp_path):
    write_mnist(tmp_path / "EMNIST" / "raw", "emnist-letters-", train="train", test="test")
    data = datasets.EMNIST(tmp_path, split="letters", train=True)
    assert len(data) == 5 and data.classes[3] == "c"
    sizes = {split: len(names) for split, names in data.classes_split_dict.items()}
    assert sizes == {
        "byclass": 62, "bymerge": 47, "balanced": 47, "letters": 27, "digits": 10, "mnist": 10
    }  # fmt: skip
    with pytest.raises(ValueError, match="split is one of"):
        datasets.EMNIST(tmp_path, split="words")


def test_missing_files_are_named(tmp_path):
    with pytest.raises(RuntimeError, match=r"train-images-idx3-ubyte.*download=True"):
        datasets.MNIST(tmp_path)
    with pytest.raises(RuntimeError, match=r"data_batch_1.bin.*download=True"):
        datasets.CIFAR10(tmp_path)


def test_files_that_do_not_belong_together_are_refused(tmp_path):
    write_mnist(tmp_path / "MNIST" / "raw", labels=(1, 2, 3, 11, 4))
    with pytest.raises(DataFormatError, match="labels run from 1 to 11"):
        datasets.MNIST(tmp_path)
    (tmp_path / "MNIST" / "raw" / "train-labels-idx1-ubyte").write_bytes(idx([1]))
    with pytest.raises(DataFormatError, match=r"\(5, 28, 28\) images have \(1,\) labels"):
        datasets.MNIST(tmp_path)
    (tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte").write_bytes(idx([1]))
    with pytest.raises(DataFormatError, match=r"expected uint8 images"):
        datasets.MNIST(tmp_path)


@pytest.mark.parametrize(
    ("kind", "parts", "names", "labels"),
    [
        (datasets.CIFAR10, [f"data_batch_{i}.bin" for i in range(1, 6)], "batches.meta.txt", 1),
        (datasets.CIFAR100, ["train.bin"], "fine_label_names.txt", 2),
    ],
)
def test_cifar_reads_its_records(tmp_path, kind, parts, names, labels):
    folder = tmp_path / kind.base_folder
    folder.mkdir()
    pixels = numpy.arange(3 * 32 * 32).reshape(3, 32, 32) % 256
    for number, part in enumerate(parts):
        record = [9] * (labels - 1) + [number, *pixels.reshape(-1)]
        (folder / part).write_bytes(bytes(record) * 2)
    (folder / names).write_text("".join(f"class{i}\n" for i in range(10)) + "\n")
    data = kind(tmp_path)
    assert len(data) == 2 * len(parts) and data.classes[7] == "class7"
    assert data.targets == [n for n in range(len(parts)) for _ in range(2)]
    image, target = data[len(data) - 1]
    assert target == len(parts) - 1 and image.shape == (32, 32, 3) == data.data.shape[1:]
    assert image.transpose(2, 0, 1).tolist() == pixels.tolist()


def test_digits_come_with_the_package():
    whole, train, test = datasets.Digits(), datasets.Digits(True), datasets.Digits(train=False)
    assert (len(whole), len(train), len(test)) == (1797, 1437, 360)
    image, target = whole[0]
    assert image.shape == (8, 8) and image.dtype == numpy.uint8 and target == 0
    assert whole.data.array.max() == 16 and list(whole.classes) == list(string.digits)
    sklearn = pytest.importorskip("sklearn.datasets", exc_type=ImportError)
    theirs = sklearn.load_digits()
    assert (theirs.images == whole.data.array).all()
    assert (theirs.target == whole.targets.array).all()


def test_fake_data_is_the_same_at_every_visit():
    data = datasets.FakeData(size=4, image_size=(3, 5, 6), num_classes=7)
    image, target = data[2]
    assert image.shape == (5, 6, 3) and image.dtype == numpy.uint8 and 0 <= target < 7
    assert (data[2][0] == image).all() and (data[3][0] != image).any()
    assert len(list(DataLoader(data, batch_size=2))) == 2
    with pytest.raises(IndexError):
        data[4]


# ---- files in folders ----


def test_image_folder_takes_classes_from_folders(tmp_path):
    image = pytest.importorskip("PIL.Image")
    for name, color in (("dogs/b.png", 1), ("dogs/deep/a.png", 2), ("cats/c.PNG", 3)):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        image.new("L", (4, 3), color).save(tmp_path / name)
    (tmp_path / "dogs" / "notes.txt").write_text("no image")
    data = datasets.ImageFolder(tmp_path, transform=transforms.PILToTensor())
    assert data.classes == ["cats", "dogs"] and data.class_to_idx == {"cats": 0, "dogs": 1}
    assert [(int(x.array[0, 0, 0]), y) for x, y in (data[i] for i in range(3))] == [
        (3, 0),
        (1, 1),
        (2, 1),
    ]
    assert data[0][0].shape == (3, 3, 4)


def test_folders_without_classes_or_files_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="any class folder"):
        datasets.ImageFolder(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="classes empty"):
        datasets.ImageFolder(tmp_path)
    assert len(datasets.ImageFolder(tmp_path, allow_empty=True)) == 0


def test_dataset_folder_takes_any_loader(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.txt").write_text("text")
    data = datasets.DatasetFolder(tmp_path, len, extensions=(".txt",))
    assert data[0] == (len(str(tmp_path / "a" / "x.txt")), 0)
    with pytest.raises(ValueError, match="one of the two"):
        datasets.DatasetFolder(tmp_path, len)
