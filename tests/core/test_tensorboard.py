"""What SummaryWriter writes is what TensorBoard reads."""

import io

import numpy
import pytest

import core

pytest.importorskip("tensorboard", reason="the package: pip install unison-ddp[examples]")
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from core.tensorboard import SummaryWriter


def read(folder):
    found = EventAccumulator(str(folder), size_guidance={"histograms": 0, "images": 0})
    found.Reload()
    return found


def test_curves(tmp_path):
    loss = core.tensor([2.0], requires_grad=True)
    with SummaryWriter(tmp_path) as writer:
        for step in range(3):
            writer.add_scalar("loss/train", loss.sum() / (step + 1), step)
        writer.add_scalar("loss/train", numpy.float32(0.5), 7)
        writer.add_scalars("both", {"a": 1.0, "b": core.tensor(2)}, 4)
        assert writer.get_logdir() == str(tmp_path)
    points = read(tmp_path).Scalars("loss/train")
    assert [p.step for p in points] == [0, 1, 2, 7]
    numpy.testing.assert_allclose([p.value for p in points], [2, 1, 2 / 3, 0.5], rtol=1e-6)
    assert read(tmp_path / "both_b").Scalars("both")[0].value == 2.0


def test_pictures(tmp_path):
    image_module = pytest.importorskip("PIL.Image")
    x = core.rand(3, 4, 6)
    with SummaryWriter(tmp_path) as writer:
        writer.add_image("x", x, 1)
        writer.add_image(
            "bytes", (x.numpy() * 255).astype("u1").transpose(1, 2, 0), dataformats="HWC"
        )
        writer.add_image("gray", x[0], dataformats="HW")
        writer.add_images("many", core.rand(3, 1, 4, 6))
    found = read(tmp_path)
    for tag, expected in (("x", x.numpy()), ("gray", x[[0, 0, 0]].numpy())):
        picture = found.Images(tag)[0]
        pixels = numpy.asarray(image_module.open(io.BytesIO(picture.encoded_image_string)))
        numpy.testing.assert_array_equal(
            pixels, numpy.floor(expected.transpose(1, 2, 0) * 255 + 0.5)
        )
    assert (found.Images("many")[0].width, found.Images("many")[0].height) == (26, 8)


def test_distributions_texts_and_settings(tmp_path):
    with SummaryWriter(tmp_path) as writer:
        writer.add_histogram("w", core.arange(10.0).reshape(2, 5), 3, bins=5)
        writer.add_text("note", "**hello**", 1)
        writer.add_hparams({"lr": 0.1}, {"hparam/loss": 0.25})
    found = read(tmp_path)
    (event,) = found.Tensors("w")
    table = numpy.frombuffer(event.tensor_proto.tensor_content, "f8").reshape(-1, 3)
    assert event.step == 3 and table[:, 2].tolist() == [2.0] * 5
    assert found.Tensors("note/text_summary")[0].tensor_proto.string_val == [b"**hello**"]
    assert found.Scalars("hparam/loss")[0].value == 0.25


def test_a_figure(tmp_path):
    figure_module = pytest.importorskip("matplotlib.figure")
    figure = figure_module.Figure(figsize=(1, 2), dpi=50)
    figure.subplots().plot([1, 2])
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    with SummaryWriter(tmp_path) as writer:
        writer.add_figure("f", figure)
    assert (read(tmp_path).Images("f")[0].width, not figure.axes) == (50, True)


def test_a_network(tmp_path, capsys):
    model = core.nn.Sequential(core.nn.Linear(4, 3), core.nn.Dropout(), core.nn.BatchNorm1d(3))
    model[1].eval()
    with SummaryWriter(tmp_path) as writer:
        writer.add_graph(model, core.ones(5, 4), verbose=True)
    nodes = {node.name: node for node in read(tmp_path).Graph().node}
    assert "Sequential/Linear[0]/linear" in nodes and "output/output.1" in nodes
    assert nodes["Sequential/Linear[0]/linear"].input[0] == "input/input"
    assert read(tmp_path).RunMetadata("step1").step_stats.dev_stats
    assert "Sequential/Linear[0]/weight" in capsys.readouterr().out
    # The model is as it was.
    assert [module.training for module in model] == [True, False, True]
    assert model.training and not any(module._forward_hooks for module in model)
    assert int(model[2].num_batches_tracked) == 0


def test_a_network_whose_writes_are_not_told_is_refused(tmp_path):
    class Writes(core.nn.Module):
        def forward(self, x):
            y = x.clone()
            y[0] = 0.0
            return y + 1

    with SummaryWriter(tmp_path) as writer, pytest.raises(RuntimeError, match="in place"):
        writer.add_graph(Writes(), core.ones(5, 4))
