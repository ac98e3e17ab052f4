"""SummaryWriter: curves, histograms, pictures and texts as files that TensorBoard shows.

A thin layer over the package `tensorboard`, under the names of torch.utils.tensorboard.
"""

from __future__ import annotations

import datetime
import io
import json
import os
import time
from typing import Any

import numpy
from tensorboard.compat.proto.event_pb2 import Event, TaggedRunMetadata
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.histogram.summary_v2 import histogram_pb
from tensorboard.plugins.text.summary_v2 import text_pb
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from core.tensor import Tensor
from core.tensorboard.graph import graph
from core.vision.images import make_grid, save_image


class SummaryWriter:
    """A writer into `log_dir`, by default a new folder in `runs`; a context that closes itself.

    Every value may be a tensor, an array or a number. On many ranks let rank 0 alone write.
    """

    def __init__(
        self,
        log_dir: str | os.PathLike[str] | None = None,
        comment: str = "",
        purge_step: int | None = None,
        max_queue: int = 10,
        flush_secs: int = 120,
        filename_suffix: str = "",
    ) -> None:
        now = datetime.datetime.now().strftime("%b%d_%H-%M-%S")
        default = os.path.join("runs", f"{now}_{os.uname().nodename}{comment}")
        self.log_dir = os.fspath(log_dir) if log_dir else default
        self._options = (max_queue, flush_secs, filename_suffix)
        self._files = {"": EventFileWriter(self.log_dir, *self._options)}

    def add_scalar(
        self,
        tag: str,
        scalar_value: Any,
        global_step: int | None = None,
        walltime: float | None = None,
    ) -> None:
        """Add a point to a curve."""
        value = Summary.Value(tag=tag, simple_value=float(_array(scalar_value)))
        self._add(Summary(value=[value]), global_step, walltime)

    def add_scalars(
        self,
        main_tag: str,
        tag_scalar_dict: dict[str, Any],
        global_step: int | None = None,
        walltime: float | None = None,
    ) -> None:
        """Add a point to each of several curves in one picture; each has a folder of its own."""
        for tag, value in tag_scalar_dict.items():
            summary = Summary(
                value=[Summary.Value(tag=main_tag, simple_value=float(_array(value)))]
            )
            self._add(summary, global_step, walltime, f"{main_tag.replace('/', '_')}_{tag}")

    def add_histogram(
        self,
        tag: str,
        values: Any,
        global_step: int | None = None,
        bins: Any = None,
        walltime: float | None = None,
    ) -> None:
        """Add the distribution of some numbers; `bins` is how many parts it is cut into."""
        buckets = bins if isinstance(bins, int) else None
        summary = histogram_pb(tag, _array(values).ravel().astype(numpy.float64), buckets)
        self._add(summary, global_step, walltime)

    def add_image(
        self,
        tag: str,
        img_tensor: Any,
        global_step: int | None = None,
        walltime: float | None = None,
        dataformats: str = "CHW",
    ) -> None:
        """Add a picture, of bytes or from 0 to 1; `dataformats` names the dimensions."""
        self.add_images(tag, _array(img_tensor)[None], global_step, walltime, f"N{dataformats}")

    def add_images(
        self,
        tag: str,
        img_tensor: Any,
        global_step: int | None = None,
        walltime: float | None = None,
        dataformats: str = "NCHW",
    ) -> None:
        """Add pictures in a grid."""
        array = _array(img_tensor)
        if "C" not in dataformats:
            array, dataformats = array[..., None], f"{dataformats}C"
        array = array.transpose([dataformats.index(name) for name in "NCHW"])
        scale = 255.0 if array.dtype == numpy.uint8 else 1.0
        images = Tensor((array / scale).astype(numpy.float32))
        grid, file = make_grid(images), io.BytesIO()
        save_image(grid, file, format="PNG")
        height, width = grid.shape[-2:]
        picture = Summary.Image(height=height, width=width, colorspace=3)
        picture.encoded_image_string = file.getvalue()
        summary = Summary(value=[Summary.Value(tag=tag, image=picture)])
        self._add(summary, global_step, walltime)

    def add_figure(
        self,
        tag: str,
        figure: Any,
        global_step: int | None = None,
        close: bool = True,
        walltime: float | None = None,
    ) -> None:
        """Add a figure of Matplotlib; `close` clears it afterwards."""
        figure.canvas.draw()
        pixels = numpy.asarray(figure.canvas.buffer_rgba())[..., :3]
        self.add_image(tag, pixels, global_step, walltime, dataformats="HWC")
        if close:
            figure.clear()

    def add_text(
        self,
        tag: str,
        text_string: str,
        global_step: int | None = None,
        walltime: float | None = None,
    ) -> None:
        """Add a text, which may be Markdown."""
        self._add(text_pb(f"{tag}/text_summary", text_string), global_step, walltime)

    def add_graph(
        self,
        model: Any,
        input_to_model: Any,
        verbose: bool = False,
        use_strict_trace: bool = True,
    ) -> None:
        """Add a drawing of a network: the ops that it runs on its input, in their modules.

        `use_strict_trace` is not needed: it is run, in evaluation, not translated.
        Raises: RuntimeError for one that writes through views or indices: what it does is not told.
        """
        drawn, places = graph(model, input_to_model)
        if verbose:
            print(drawn)
        now, file = time.time(), self._files[""]
        file.add_event(Event(wall_time=now, graph_def=drawn.SerializeToString()))
        tagged = TaggedRunMetadata(tag="step1", run_metadata=places.SerializeToString())
        file.add_event(Event(wall_time=now, tagged_run_metadata=tagged))

    def add_hparams(
        self, hparam_dict: dict[str, Any], metric_dict: dict[str, Any], **options: Any
    ) -> None:
        """Add the settings of a run as a text, and what came of them as points."""
        settings = {name: str(value) for name, value in hparam_dict.items()}
        self.add_text("hparams", f"```\n{json.dumps(settings, indent=1)}\n```")
        for tag, value in metric_dict.items():
            self.add_scalar(tag, value)

    def _add(self, summary: Any, step: int | None, walltime: float | None, run: str = "") -> None:
        if run not in self._files:
            folder = os.path.join(self.log_dir, run)
            self._files[run] = EventFileWriter(folder, *self._options)
        event = Event(wall_time=time.time() if walltime is None else walltime, summary=summary)
        event.step = 0 if step is None else int(step)
        self._files[run].add_event(event)

    def get_logdir(self) -> str:
        """The folder that is written into."""
        return self.log_dir

    def flush(self) -> None:
        """Write down what was added so far."""
        for file in self._files.values():
            file.flush()

    def close(self) -> None:
        """Write down everything and let the files go."""
        for file in self._files.values():
            file.close()

    def __enter__(self) -> SummaryWriter:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _array(value: Any) -> numpy.ndarray:
    return numpy.asarray(value.detach().cpu().numpy() if isinstance(value, Tensor) else value)
