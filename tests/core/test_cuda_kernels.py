"""Our CUDA C: compiled by NVRTC where it is installed, executed on the CPU by g++."""

import ctypes
import importlib.util
import pathlib
import shutil

import numpy
import pytest

from core.kernels import philox
from core.philox import Key, words
from tests.core import cuda_on_cpu

KEYS = [Key(0, 0, 0), Key(2**64 - 1, 2**63, 2**64 - 1), Key(1234567890123456789, 3, 77)]
ARCHITECTURES = ("sm_80", "sm_90", "sm_100")
SOURCES = sorted(philox.SOURCE.parent.glob("*.cu"))


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    if shutil.which("g++") is None:
        pytest.skip("g++ is not installed")
    folder = tmp_path_factory.mktemp("kernel")
    return cuda_on_cpu.compiled(philox.SOURCE.read_text(), "philox_words", folder)


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize(("blocks", "first", "plane"), [(1, 0, 0), (1000, 0, 0), (777, 2**40, 1)])
def test_the_kernel_makes_the_bits_of_the_cpu(kernel, key, blocks, first, plane):
    out = numpy.zeros(4 * blocks, numpy.uint64)
    more = [int(n) for n in philox.arguments(key, blocks, first, plane)]
    kernel(3, 32, out.ctypes.data, *more)
    numpy.testing.assert_array_equal(out, words(key, blocks, first, plane))


def nvrtc():
    """NVRTC's library, where its wheel is installed."""
    for package in ("nvidia.cu13", "nvidia.cuda_nvrtc"):
        try:
            spec = importlib.util.find_spec(package)
        except ModuleNotFoundError:
            continue
        for folder in (spec.submodule_search_locations or []) if spec else []:
            for path in sorted(pathlib.Path(folder).glob("lib/libnvrtc.so.*")):
                return ctypes.CDLL(str(path))
    pytest.skip("NVRTC is not installed (pip install nvidia-cuda-nvrtc)")


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_every_kernel_compiles(source, architecture):
    library = nvrtc()
    program = ctypes.c_void_p()
    text, name = source.read_bytes(), source.name.encode()
    assert library.nvrtcCreateProgram(ctypes.byref(program), text, name, 0, None, None) == 0
    options = (ctypes.c_char_p * 2)(f"-arch={architecture}".encode(), b"-std=c++17")
    status = library.nvrtcCompileProgram(program, 2, options)
    size = ctypes.c_size_t()
    library.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    library.nvrtcGetProgramLog(program, log)
    assert status == 0, log.value.decode()
    library.nvrtcGetCUBINSize(program, ctypes.byref(size))
    assert size.value > 0
    library.nvrtcDestroyProgram(ctypes.byref(program))
