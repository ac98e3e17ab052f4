"""Models as ONNX files, for other programs to run."""

from core.onnx import elementwise as elementwise
from core.onnx import layers as layers
from core.onnx import shapes as shapes
from core.onnx.export import export as export
